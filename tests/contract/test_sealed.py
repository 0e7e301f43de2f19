"""What is sealed in each store: damaged, under another key, sealed anew."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio

from everbearer.errors import ConfigurationError, StoreError
from everbearer.stores import (
    Keyring,
    Replacement,
    Resealing,
    Settlement,
    open_store,
    reseal,
    sealed_in,
)
from everbearer.tokens import AccountKey, status_of

pytestmark = pytest.mark.asyncio

OLD, NEW, OTHER = (Keyring.generate_key() for _ in range(3))
BESIDE = AccountKey("billit", "beside")


@pytest.fixture(autouse=True)
def _key(store_url, monkeypatch):
    # Not the one that is in the environment for others.
    monkeypatch.delenv("EVERBEARER_KEYS", raising=False)


@pytest.fixture(name="opened")
def _opened(store_url):
    """Stores with these keys, each as another process would have it."""

    @asynccontextmanager
    async def opened(*keys):
        store = open_store(store_url, keyring=Keyring(keys))
        await store.open()
        try:
            yield store
        finally:
            await store.aclose()

    return opened


@pytest_asyncio.fixture(name="store")
async def _store(opened):
    """One account, sealed with OLD."""
    async with opened(OLD) as store:
        yield store


async def rows_of(store):
    """Everything that is kept, as it is."""
    return [row async for row in (await sealed_in(store)).all()]


async def outcomes(store):
    return [each.outcome async for each in reseal(await sealed_in(store))]


async def overwrite(store, row, sealed):
    """As a disk, an operator or an attacker would."""
    there = await (await sealed_in(store)).exchange(row, sealed)
    assert there == sealed


async def attempts(store, make, record):
    """Everything that reads or writes a record, as coroutines not started yet."""
    return [
        store.load(make.key),
        store.acquire(make.key, make.asked()),
        store.renew(make.key, make.asked(), spending=record.refresh_fingerprint),
        store.release(make.key, make.asked(), Settlement()),
        store.replace(make.key, make.rotation(record)),
        store.refuse(make.key, make.refusal(record)),
        store.put(make.key, make.grant("s0", "i1")),
        store.put(make.key, make.grant("s0", "i1", if_absent=True)),
        store.delete(make.key),
    ]


async def refused(store, make, record, error):
    """What each attempt is told; nothing is written."""
    before, said = await rows_of(store), []
    for attempt in await attempts(store, make, record):
        with pytest.raises(error) as raised:
            await attempt
        said.append(str(raised.value))
    assert await rows_of(store) == before
    return said


def names_it(said):
    """Whether a text names the account, and shows neither token nor key."""
    secret = ("r0", OLD, NEW, OTHER)
    return "'acme' at 'billit'" in said and not any(each in said for each in secret)


# ---- damage


def flipped(sealed, at):
    return bytes(each ^ (number == at) for number, each in enumerate(sealed))


DAMAGE = {
    "format": lambda mine, _: flipped(mine, 0),
    "key id": lambda mine, _: flipped(mine, 4),
    "nonce": lambda mine, _: flipped(mine, 12),
    "ciphertext": lambda mine, _: flipped(mine, 40),
    "tag": lambda mine, _: flipped(mine, len(mine) - 1),
    "cut": lambda mine, _: mine[:-20],
    "empty": lambda *_: b"",
    "moved": lambda _, other: other,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
async def test_damage_is_told_and_left_as_it_is(store, opened, make, damage):
    """A flipped bit or a row moved between accounts: named, never overwritten."""
    record = await store.put(make.key, make.grant())
    await store.put(BESIDE, make.grant("r9"))
    mine, other = await rows_of(store)
    await overwrite(store, mine, damage(mine.sealed, other.sealed))
    async with opened(OLD) as fresh:
        said = await refused(fresh, make, record, (StoreError, ConfigurationError))
        assert all(names_it(each) for each in said)
        (bad,) = set(said)
        found = (await rows_of(fresh))[0].sealed
        assert found[:1] != mine.sealed[:1] or found[1:9].hex() in bad
        # The others are none the worse for it.
        assert (await fresh.load(BESIDE)).token.refresh_token == "r9"


async def test_another_key_is_told_and_nothing_is_overwritten(store, opened, make):
    """The error names both keys, and with the right one all is as it was."""
    record = await store.put(make.key, make.grant())
    (before,) = await rows_of(store)
    async with opened(OTHER) as fresh:
        for said in await refused(fresh, make, record, ConfigurationError):
            assert names_it(said)
            assert f"key {Keyring([OLD]).active}" in said
            assert str(Keyring([OTHER]).active) in said
    assert await rows_of(store) == [before]
    assert await store.load(make.key) == record


@pytest.mark.parametrize(
    ("key", "damage"),
    [
        pytest.param(OTHER, lambda sealed: sealed, id="another key"),
        pytest.param(OLD, lambda sealed: flipped(sealed, 40), id="flipped bit"),
    ],
)
async def test_an_authorization_that_does_not_open_is_not_used_up(
    store, opened, make, key, damage
):
    """Its callback may come again once the key is back, or the bit."""
    pending = make.pending(expires_at=await store.now() + 600)
    await store.put_pending(pending)
    (row,) = await rows_of(store)
    await overwrite(store, row, damage(row.sealed))
    async with opened(key) as fresh:
        with pytest.raises((StoreError, ConfigurationError)) as raised:
            await fresh.take_pending("s0")
        assert names_it(str(raised.value))
    (left,) = await rows_of(store)
    await overwrite(store, left, row.sealed)
    assert (await store.take_pending("s0")).pending == pending


async def test_what_is_not_sealed_needs_no_key(store, opened, make):
    """Provider, account, instants, version and standing: a list without any key."""
    record = await store.put(make.key, make.grant(scope="all", extra={"who": "me"}))
    await store.refuse(make.key, make.refusal(record))
    await store.put(BESIDE, make.grant("r9"))
    known = [status_of(record.key, record) async for record in store.list()]
    async with opened(OTHER) as fresh:
        rows = await rows_of(fresh)
    assert [row.columns["version"] for row in rows] == [1, 1]
    told = [row.status() for row in rows]
    assert [each.reason for each in told] == ["refused", None]
    assert told[1] == known[1]
    assert (told[0].scope, dict(told[0].extra)) == (None, {})
    assert (told[0].standing, told[0].since) == (known[0].standing, known[0].since)


# ---- sealed anew


async def test_everything_is_sealed_with_the_active_key(store, opened, make):
    """Grants and authorizations; afterwards the older key is not needed any more."""
    record = await store.put(make.key, make.grant())
    now = await store.now()
    await store.put_pending(make.pending(expires_at=now + 600))
    await store.put_pending(make.pending("s1", expires_at=now + 600))
    await store.take_pending("s1")
    async with opened(NEW, OLD) as fresh:
        assert await outcomes(fresh) == [Resealing.ANEW] * 2
        assert await outcomes(fresh) == [Resealing.ALREADY] * 2
        assert {row.sealed[1:9] for row in await rows_of(fresh)} == {
            Keyring([NEW]).active.id
        }
    async with opened(NEW) as fresh:
        assert await fresh.load(make.key) == record
        assert (await fresh.take_pending("s0")).pending.code_verifier == "verifier-s0"
        assert (await fresh.take_pending("s1")).used


async def test_it_goes_on_where_it_was(store, opened, make):
    """More than a page, and left in the middle."""
    for number in range(130):
        await store.put(AccountKey("billit", f"a{number:03}"), make.grant())
    async with opened(NEW, OLD) as fresh:
        sealing = reseal(await sealed_in(fresh))
        begun = [each.outcome async for _, each in _some(sealing, 50)]
        await sealing.aclose()
        assert begun == [Resealing.ANEW] * 50
        rest = await outcomes(fresh)
    assert rest == [Resealing.ALREADY] * 50 + [Resealing.ANEW] * 80


async def _some(stream, most):
    for number in range(most):
        yield number, await anext(stream)


async def test_what_does_not_open_is_told_and_the_rest_is_sealed(store, opened, make):
    """One damaged record, and one whose key is lost, hold nothing up."""
    await store.put(make.key, make.grant())
    await store.put(BESIDE, make.grant("r9"))
    async with opened(OTHER) as lost:
        await lost.put(AccountKey("billit", "lost"), make.grant("r8"))
    mine = (await rows_of(store))[0]
    await overwrite(store, mine, flipped(mine.sealed, 40))
    async with opened(NEW, OLD) as fresh:
        found = [each async for each in reseal(await sealed_in(fresh))]
    assert [(each.row.key.account, each.outcome) for each in found] == [
        ("acme", Resealing.UNOPENED),
        ("beside", Resealing.ANEW),
        ("lost", Resealing.UNOPENED),
    ]
    assert names_it(found[0].trouble)
    assert str(Keyring([OTHER]).active) in found[2].trouble


async def test_what_was_sealed_meanwhile_is_read_again(store, opened, make):
    """A worker that does not have the new key in front yet rotates in between."""
    record = await store.put(make.key, make.grant())
    async with opened(NEW, OLD) as fresh:
        records = await sealed_in(fresh)
        (found,) = [row async for row in records.all()]
        replaced = await store.replace(make.key, make.rotation(record))
        assert replaced.outcome is Replacement.STORED

        class Earlier:
            """What was in the store before."""

            keyring, exchange = records.keyring, staticmethod(records.exchange)

            async def all(self):
                yield found

        (each,) = [each async for each in reseal(Earlier())]
        assert each.outcome is Resealing.ANEW
        async with opened(NEW) as later:
            assert await later.load(make.key) == replaced.record
            await later.delete(make.key)
        assert [each.outcome async for each in reseal(Earlier())] == [Resealing.GONE]
        assert await rows_of(fresh) == []


async def test_a_writer_that_has_read_before_keeps_the_new_sealing(store, opened, make):
    """It swaps what it has seen: sealed anew meanwhile, it has to look again."""
    await store.put(make.key, make.grant())
    await store.load(make.key)
    async with opened(NEW, OLD) as worker:
        await worker.load(make.key)
        async with opened(NEW, OLD) as fresh:
            assert await outcomes(fresh) == [Resealing.ANEW]
        assert (await worker.acquire(make.key, make.asked())).granted
        assert await outcomes(worker) == [Resealing.ALREADY]


async def test_nobody_is_woken_and_no_version_moves(store, opened, make):
    """Who waits for a token waits on: nothing about it has changed."""
    record = await store.put(make.key, make.grant())
    taken = await store.acquire(make.key, make.asked())
    waiting = asyncio.ensure_future(store.changed(make.key, taken.record, 30.0))
    await asyncio.sleep(0.2)
    async with opened(NEW, OLD) as fresh:
        assert await outcomes(fresh) == [Resealing.ANEW]
        assert await fresh.load(make.key) == taken.record
        await asyncio.sleep(0.2)
        assert not waiting.done()
        # The lease is still its holder's, who saves what it has.
        await fresh.replace(make.key, make.rotation(record))
    async with asyncio.timeout(10):
        await waiting
