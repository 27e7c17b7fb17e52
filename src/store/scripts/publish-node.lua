-- Sets a node's record and its lease; the events are appended when the node was not known.
--
-- KEYS[1] node lease   KEYS[2] nodes (hash by node id)   KEYS[3] events
-- ARGV[1] node id   ARGV[2] record, JSON   ARGV[3] lease, ms   ARGV[4] events   ARGV[5] channel of topic `nodes`
-- Returns 1
redis.call('SET', KEYS[1], '1', 'PX', ARGV[3])
if redis.call('HSET', KEYS[2], ARGV[1], ARGV[2]) == 1 then append_events(KEYS[3], ARGV[4]) end
redis.call('PUBLISH', ARGV[5], '')
return 1
