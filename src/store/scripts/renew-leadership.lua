-- Extends the leader lease if it is still the caller's.
--
-- KEYS[1] leader lease
-- ARGV[1] candidate id   ARGV[2] epoch   ARGV[3] lease, ms
-- Returns 1, or 0 when the caller must campaign again
if redis.call('GET', KEYS[1]) ~= ARGV[2] .. ' ' .. ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[3])
