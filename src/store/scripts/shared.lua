-- Put in front of every other script of this folder. All keys of a cluster carry one hash tag, so that a script may
-- touch several of them on a Redis Cluster, too.

-- How many events the stream keeps, about: `~` lets the server trim whole blocks.
local EVENTS_KEPT = 10000

-- Appends events to the capped stream.
-- drafts: JSON array of { type, fields }, `fields` being JSON text itself
local function append_events(stream, drafts)
  for _, draft in ipairs(cjson.decode(drafts)) do
    redis.call('XADD', stream, 'MAXLEN', '~', EVENTS_KEPT, '*', 'type', draft.type, 'fields', draft.fields)
  end
end

-- Whether the lease says that this epoch leads, in this incarnation of the data. An epoch is given out once per
-- incarnation, so the candidate's name need not be compared.
local function leads(lease_key, incarnation_key, epoch, incarnation)
  local lease = redis.call('GET', lease_key)
  if not lease or string.match(lease, '^%d+') ~= epoch then return false end
  return redis.call('GET', incarnation_key) == incarnation
end
