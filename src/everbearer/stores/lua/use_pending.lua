-- Note that an authorization is handed out, and forget its secrets; of two only one
-- does.
-- KEYS: the authorization.
if redis.call('HGET', KEYS[1], 'used') ~= 'false' then
    return 0
end
redis.call('HSET', KEYS[1], 'used', 'true', 'sealed', '')
return 1
