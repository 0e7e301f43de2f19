-- Write a record if nobody has written since the revision that was read, and if the
-- time that was read is not over; keep the indexes, and tell those who wait.
-- KEYS: the record, the index of all, the index of those connected at the provider.
-- ARGV: expected revision or '', time that was read or '', seconds after which that is
-- over, '1' to tell, channel, what is told, member of the index of all, account, when
-- its token was issued or '' if it is not connected, then fields and their values.
local expected, now, stale_after = ARGV[1], ARGV[2], ARGV[3]
local tell, channel, told = ARGV[4], ARGV[5], ARGV[6]
local member, account, minted_at = ARGV[7], ARGV[8], ARGV[9]
if (redis.call('HGET', KEYS[1], 'revision') or '') ~= expected then
    return 0
end
if now ~= '' then
    local time = redis.call('TIME')
    if math.abs(time[1] + time[2] / 1000000 - now) > tonumber(stale_after) then
        return 0
    end
end
redis.call('HSET', KEYS[1], unpack(ARGV, 10))
redis.call('ZADD', KEYS[2], 0, member)
if minted_at == '' then
    redis.call('ZREM', KEYS[3], account)
else
    redis.call('ZADD', KEYS[3], minted_at, account)
end
if tell == '1' then
    redis.call('PUBLISH', channel, told)
end
return 1
