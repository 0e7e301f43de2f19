-- Connected accounts of one provider by the age of their token, from one on.
-- KEYS: the index of those connected at the provider.
-- ARGV: since when and which account was the last of the page before, until when, how
-- many.
local after_at, after_account, before = ARGV[1], ARGV[2], ARGV[3]
local size = tonumber(ARGV[4])
local found, offset = {}, 0
while #found < 2 * size do
    local page = redis.call(
        'ZRANGEBYSCORE', KEYS[1], after_at, before, 'WITHSCORES', 'LIMIT', offset, 100
    )
    for at = 1, #page, 2 do
        local later = tonumber(page[at + 1]) > tonumber(after_at)
        if #found < 2 * size and (later or page[at] > after_account) then
            found[#found + 1], found[#found + 2] = page[at + 1], page[at]
        end
    end
    if #page < 200 then
        break
    end
    offset = offset + 100
end
return found
