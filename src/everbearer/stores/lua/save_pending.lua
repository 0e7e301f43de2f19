-- Keep a started authorization; a second try never revives a used one.
-- KEYS: the authorization.  ARGV: milliseconds to keep it for, then fields and values.
if redis.call('EXISTS', KEYS[1]) == 0 then
    redis.call('HSET', KEYS[1], unpack(ARGV, 2))
    redis.call('PEXPIRE', KEYS[1], ARGV[1])
end
