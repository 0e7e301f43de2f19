-- Forget one account, if nobody has written since; and tell those who wait.
-- KEYS: the record, the index of all, the index of those connected at the provider.
-- ARGV: expected revision, channel, what is told, member of the index of all, account.
if redis.call('HGET', KEYS[1], 'revision') ~= ARGV[1] then
    return 0
end
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[4])
redis.call('ZREM', KEYS[3], ARGV[5])
redis.call('PUBLISH', ARGV[2], ARGV[3])
return 1
