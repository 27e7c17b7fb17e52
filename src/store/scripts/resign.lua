-- Gives the leader lease back if it is still the caller's, so that the next candidate need not wait for its end.
--
-- KEYS[1] leader lease   KEYS[2] events
-- ARGV[1] candidate id   ARGV[2] epoch   ARGV[3] events   ARGV[4] channel of topic `leader`
-- Returns 1, or 0 when it was not the caller's
if redis.call('GET', KEYS[1]) ~= ARGV[2] .. ' ' .. ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
append_events(KEYS[2], ARGV[3])
redis.call('PUBLISH', ARGV[4], '')
return 1
