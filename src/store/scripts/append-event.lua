-- Appends events that go with no other change.
--
-- KEYS[1] events   ARGV[1] events
-- Returns 1
append_events(KEYS[1], ARGV[1])
return 1
