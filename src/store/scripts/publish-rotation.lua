-- Sets how far the replacement of the cluster's token has come, fenced by the leader's epoch.
--
-- KEYS[1] leader lease   KEYS[2] incarnation   KEYS[3] write counter   KEYS[4] events   KEYS[5] rotation
-- ARGV[1] epoch   ARGV[2] incarnation   ARGV[3] channel of topic `rotation`   ARGV[4] events   ARGV[5] rotation, JSON
-- Returns the write count, or 0 when the caller does not lead (nothing was changed)
if not leads(KEYS[1], KEYS[2], ARGV[1], ARGV[2]) then return 0 end
redis.call('SET', KEYS[5], ARGV[5])
append_events(KEYS[4], ARGV[4])
redis.call('PUBLISH', ARGV[3], '')
return redis.call('INCR', KEYS[3])
