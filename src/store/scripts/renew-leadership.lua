-- Extends the leader lease if it is still the caller's, and the server still the one it was taken from: after a
-- restart of the server its data may be older than what the caller wrote, which only a campaign can settle.
--
-- KEYS[1] leader lease   KEYS[2] server run id
-- ARGV[1] candidate id   ARGV[2] epoch   ARGV[3] lease, ms   ARGV[4] server run id, '' where it is not known
-- Returns 1, or 0 when the caller must campaign again
if redis.call('GET', KEYS[1]) ~= ARGV[2] .. ' ' .. ARGV[1] then return 0 end
if ARGV[4] ~= '' and redis.call('GET', KEYS[2]) ~= ARGV[4] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[3])
