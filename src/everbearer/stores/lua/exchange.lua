-- Put another sealing of the same in the place of one, if it is still there; say what
-- is there then.
-- KEYS: the record or the authorization.
-- ARGV: what is expected to be sealed there, what comes in its place, new revision.
if redis.call('HGET', KEYS[1], 'used') == 'true' then
    return false
end
local there = redis.call('HGET', KEYS[1], 'sealed')
if there ~= ARGV[1] then
    return there
end
redis.call('HSET', KEYS[1], 'sealed', ARGV[2], 'revision', ARGV[3])
return ARGV[2]
