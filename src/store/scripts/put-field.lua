-- Sets one field of a hash and hints its topic: what a node says of itself (its report, what its ingress serves by).
--
-- KEYS[1] hash by node id
-- ARGV[1] node id   ARGV[2] value, JSON   ARGV[3] channel of the topic
-- Returns 1
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('PUBLISH', ARGV[3], '')
return 1
