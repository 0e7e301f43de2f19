"""Reading, listing, waiting, and opening and closing."""

from __future__ import annotations

import asyncio
import gc

import pytest

from everbearer.stores import Settlement, TokenStore
from everbearer.testing._contract._made import Make, StandingClock
from everbearer.tokens import AccountKey, TokenRecord

LONG = 30.0
SHORT = 0.03


async def test_load_of_an_unknown_account(store: TokenStore, make: Make) -> None:
    """What was never stored is None, whatever is stored for others."""
    await store.put(make.key, make.grant())
    assert await store.load(AccountKey("billit", "other")) is None
    assert await store.load(AccountKey("other", "acme")) is None


async def test_now_is_the_clock_of_the_store(
    store: TokenStore, clock: StandingClock
) -> None:
    """Leases are judged by the time that the store says it is."""
    assert await store.now() == clock.now


@pytest.mark.parametrize(
    "account",
    ["a'b;--", "a:b", "%00", "åäö \N{GRINNING FACE}", "x" * 255, "", " a "],
    ids=["quotes", "colon", "percent", "unicode", "long", "empty", "spaces"],
)
async def test_account_ids_are_any_text(
    store: TokenStore, make: Make, account: str
) -> None:
    """An account id is never taken for anything but itself."""
    key = AccountKey("billit", account)
    record = await store.put(key, make.grant())
    await store.put(AccountKey("billit", f"{account}x"), make.grant("s0", "i1"))
    assert await store.load(key) == record
    assert record.key == key


async def test_list_in_order(store: TokenStore, make: Make) -> None:
    """All records come by provider and account, or those of one provider."""
    keys = [
        AccountKey(provider, account)
        for provider in ("billit", "a", "z")
        for account in ("é", "b", "B", "10", "9")
    ]
    for key in keys:
        await store.put(key, make.grant())
    assert [record.key async for record in store.list()] == sorted(keys)
    assert [record.key async for record in store.list("billit")] == sorted(
        key for key in keys if key.provider == "billit"
    )
    assert [record.key async for record in store.list("nobody")] == []


async def test_list_holds_nothing_up(store: TokenStore, make: Make) -> None:
    """A slow consumer of a long list blocks no writer and sees each record once."""
    keys = [AccountKey("billit", f"{number:04}") for number in range(250)]
    for key in keys:
        await store.put(key, make.grant())
    seen = []
    async for record in store.list():
        seen.append(record.key)
        if len(seen) in {1, 100, 101}:
            await store.acquire(record.key, make.asked())
            await store.delete(keys[0])
    assert seen == keys


async def test_a_list_may_be_left_early(store: TokenStore, make: Make) -> None:
    """Whoever stops reading a list leaves nothing behind that blocks a writer."""
    await store.put(make.key, make.grant())
    listing = store.list()
    await anext(listing)
    del listing
    gc.collect()
    assert (await store.acquire(make.key, make.asked())).granted


async def _waiting(
    store: TokenStore, make: Make, record: TokenRecord | None
) -> asyncio.Task[None]:
    """Somebody who waits for *record*, and surely does: others gave up meanwhile."""
    patient = asyncio.create_task(store.changed(make.key, record, LONG))
    impatient = asyncio.create_task(store.changed(make.key, record, SHORT))
    done, _ = await asyncio.wait(
        {patient, impatient}, return_when=asyncio.FIRST_COMPLETED
    )
    assert done == {impatient}
    return patient


@pytest.mark.parametrize(
    "change",
    ["replace", "release", "acquire", "refuse", "put", "delete"],
)
async def test_changed_wakes(store: TokenStore, make: Make, change: str) -> None:
    """Whoever waits for a record returns when another flight writes to it."""
    record = await store.put(make.key, make.grant())
    if change == "release":
        record = (await store.acquire(make.key, make.asked())).record
    waiting = await _waiting(store, make, record)
    match change:
        case "replace":
            await store.replace(make.key, make.rotation(record))
        case "release":
            await store.release(make.key, make.asked(), Settlement())
        case "acquire":
            await store.acquire(make.key, make.asked())
        case "refuse":
            await store.refuse(make.key, make.refusal(record))
        case "put":
            await store.put(make.key, make.grant("s0", "i1"))
        case "delete":
            await store.delete(make.key)
    await asyncio.wait_for(waiting, LONG / 3)


async def test_changed_before_it_was_asked(store: TokenStore, make: Make) -> None:
    """A change between the look and the wait is not waited for: it is there."""
    record = await store.put(make.key, make.grant())
    await store.replace(make.key, make.rotation(record))
    await store.changed(make.key, record, LONG)
    await store.changed(make.key, None, LONG)


async def test_changed_from_nothing(store: TokenStore, make: Make) -> None:
    """Whoever waits for an account to be connected is woken by that."""
    waiting = await _waiting(store, make, None)
    await store.put(make.key, make.grant())
    await asyncio.wait_for(waiting, LONG / 3)


@pytest.mark.parametrize("within", [0.03, 0.0, -1.0])
async def test_changed_gives_up(store: TokenStore, make: Make, within: float) -> None:
    """Nothing happens, and the wait ends by itself."""
    record = await store.put(make.key, make.grant())
    await store.changed(make.key, record, within)


async def test_changed_does_not_return_for_a_renewal(
    store: TokenStore, make: Make
) -> None:
    """A holder that renews its lease has not changed what others wait for."""
    await store.put(make.key, make.grant())
    record = (await store.acquire(make.key, make.asked())).record
    waiting = await _waiting(store, make, record)
    await store.renew(make.key, make.asked())
    # By now whoever polls has looked, and whoever is told has heard.
    await store.changed(make.key, record, 4 * SHORT)
    assert not waiting.done()
    await store.release(make.key, make.asked(), Settlement())
    await asyncio.wait_for(waiting, LONG / 3)


async def test_changed_wakes_all_and_may_be_cancelled(
    store: TokenStore, make: Make
) -> None:
    """Many wait for one record; one that leaves does not keep the others."""
    record = await store.put(make.key, make.grant())
    waiting = [
        asyncio.create_task(store.changed(make.key, record, LONG)) for _ in range(9)
    ]
    waiting.append(await _waiting(store, make, record))
    waiting[0].cancel()
    await asyncio.gather(waiting[0], return_exceptions=True)
    assert waiting[0].cancelled()
    await store.delete(make.key)
    await asyncio.gather(*waiting[1:])


async def test_open_and_close_twice(store: TokenStore, make: Make) -> None:
    """Opening and closing again is fine, and what was stored is still there."""
    record = await store.put(make.key, make.grant())
    await asyncio.gather(store.open(), store.open())
    await store.aclose()
    await store.aclose()
    await store.open()
    assert await store.load(make.key) == record


async def test_cancelled_callers_leave_nothing_behind(
    store: TokenStore, make: Make
) -> None:
    """A caller that leaves at any point leaves no lock and no half of a write."""
    await store.put(make.key, make.grant())
    for number in range(60):
        task = asyncio.create_task(store.acquire(make.key, make.asked(f"f{number}")))
        for _ in range(number % 6):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    record = await store.load(make.key)
    assert (record.lease is None) == (record.intent is None)
    await store.put(make.key, make.grant("s0", "i1"))
    assert (await store.acquire(make.key, make.asked())).granted
