-- A node leaves in order: what it wrote itself goes. Its assignment is the leader's and stays.
--
-- KEYS[1] node lease   KEYS[2] nodes   KEYS[3] reports   KEYS[4] ingresses (hashes by node id)   KEYS[5] events
-- ARGV[1] node id   ARGV[2] events   ARGV[3] channel of topic `nodes`
-- Returns 1 when the node was known, else 0
redis.call('DEL', KEYS[1])
local known = redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
redis.call('HDEL', KEYS[4], ARGV[1])
if known == 1 then append_events(KEYS[5], ARGV[2]) end
redis.call('PUBLISH', ARGV[3], '')
return known
