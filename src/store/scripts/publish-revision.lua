-- Puts a revision and the rollouts beside it in force, fenced by the leader's epoch. The events are appended only when
-- the revision's number is another one: the leader publishes again whenever a rollout changes.
--
-- KEYS[1] leader lease   KEYS[2] incarnation   KEYS[3] write counter   KEYS[4] events   KEYS[5] revision (hash)
-- ARGV[1] epoch   ARGV[2] incarnation   ARGV[3] channel of topic `revision`   ARGV[4] events
-- ARGV[5] number   ARGV[6] revision, JSON   ARGV[7] rollouts, JSON
-- Returns the write count, or 0 when the caller does not lead (nothing was changed)
if not leads(KEYS[1], KEYS[2], ARGV[1], ARGV[2]) then return 0 end
if redis.call('HGET', KEYS[5], 'number') ~= ARGV[5] then append_events(KEYS[4], ARGV[4]) end
redis.call('HSET', KEYS[5], 'number', ARGV[5], 'revision', ARGV[6], 'rollouts', ARGV[7])
redis.call('PUBLISH', ARGV[3], '')
return redis.call('INCR', KEYS[3])
