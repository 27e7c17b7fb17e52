-- Extends a node's lease if lease and record are there.
--
-- KEYS[1] node lease   KEYS[2] nodes (hash by node id)
-- ARGV[1] node id   ARGV[2] lease, ms
-- Returns 1, or 0 when either is missing: the node must publish its record and report again
if redis.call('HEXISTS', KEYS[2], ARGV[1]) == 0 then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
