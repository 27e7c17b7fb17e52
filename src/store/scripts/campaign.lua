-- Takes the leader lease with a new epoch, unless another candidate holds it. The candidate that holds it may take it
-- again (its process was started anew); what its earlier life still sends is fenced by the epoch.
-- The data gets a new incarnation when it has none, or when it cannot be the data of that incarnation as the caller
-- left it: another name, fewer writes than the caller made, or another life of the server (which may have come up from
-- an older snapshot, or be a replica that lacked the last writes).
--
-- KEYS[1] leader lease   KEYS[2] epoch   KEYS[3] incarnation   KEYS[4] write counter   KEYS[5] server run id
-- KEYS[6] events
-- ARGV[1] candidate id   ARGV[2] lease, ms   ARGV[3] highest epoch the caller has seen
-- ARGV[4] incarnation the caller knows, '' for none   ARGV[5] its write count
-- ARGV[6] name for a new incarnation   ARGV[7] server run id, '' where it is not known
-- ARGV[8] channel of topic `leader`
-- Returns { epoch, incarnation, write count }, or nil while another candidate holds the lease
local lease = redis.call('GET', KEYS[1])
if lease and string.match(lease, '^%d+ (.*)$') ~= ARGV[1] then return nil end

local epoch = math.max(tonumber(redis.call('GET', KEYS[2]) or '0'), tonumber(ARGV[3])) + 1
local incarnation = redis.call('GET', KEYS[3])
local writes = tonumber(redis.call('GET', KEYS[4]) or '0')
local run = redis.call('GET', KEYS[5])

local continues = incarnation
  and (ARGV[4] == '' or (ARGV[4] == incarnation and writes >= tonumber(ARGV[5])))
  and (ARGV[7] == '' or ARGV[7] == run)
if not continues then
  incarnation = ARGV[6]
  writes = 0
end

local epochText = string.format('%.0f', epoch)
redis.call('SET', KEYS[1], epochText .. ' ' .. ARGV[1], 'PX', ARGV[2])
redis.call('SET', KEYS[2], epochText)
redis.call('SET', KEYS[3], incarnation)
redis.call('SET', KEYS[4], writes)
redis.call('SET', KEYS[5], ARGV[7])
append_events(KEYS[6], cjson.encode({ {
  type = 'leader-elected',
  fields = cjson.encode({ candidateId = ARGV[1], epoch = epoch, incarnation = incarnation }),
} }))
redis.call('PUBLISH', ARGV[8], '')
return { epoch, incarnation, writes }
