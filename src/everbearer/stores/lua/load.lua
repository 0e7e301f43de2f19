-- The record of one account as it is now, and the server's clock.
-- KEYS: the record.
local time = redis.call('TIME')
return {time[1], time[2], redis.call('HGETALL', KEYS[1])}
