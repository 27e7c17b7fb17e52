-- Removes all that the store holds of a node that has left for good, fenced by the leader's epoch.
--
-- KEYS[1] leader lease   KEYS[2] incarnation   KEYS[3] write counter   KEYS[4] events
-- KEYS[5] node lease   KEYS[6] nodes   KEYS[7] reports   KEYS[8] ingresses   KEYS[9] assignments (hashes by node id)
-- ARGV[1] epoch   ARGV[2] incarnation   ARGV[3] channel of topic `nodes`   ARGV[4] events   ARGV[5] node id
-- Returns the write count, or 0 when the caller does not lead (nothing was changed)
if not leads(KEYS[1], KEYS[2], ARGV[1], ARGV[2]) then return 0 end
redis.call('DEL', KEYS[5])
local known = redis.call('HDEL', KEYS[6], ARGV[5])
redis.call('HDEL', KEYS[7], ARGV[5])
redis.call('HDEL', KEYS[8], ARGV[5])
redis.call('HDEL', KEYS[9], ARGV[5])
if known == 1 then append_events(KEYS[4], ARGV[4]) end
redis.call('PUBLISH', ARGV[3], '')
return redis.call('INCR', KEYS[3])
