"""A rotation that the store did not take, and the process that had it is gone."""

from __future__ import annotations

import asyncio
import json
import os
import stat

import pytest
from tests.failures._host import FULL, KEYRING

from everbearer import Keyring, TemporarilyUnavailable
from everbearer.events import (
    RefreshConflict,
    RefreshStarted,
    SavedLate,
    SpillAdopted,
    Spilled,
    SpillFailed,
    SpillUnreadable,
)
from everbearer.stores import Rotation, Spills
from everbearer.token_endpoint import Ambiguous
from everbearer.tokens import AccountKey, Standing

pytestmark = pytest.mark.asyncio


async def opens(process):
    """What `Client.open` does, to its end."""
    process.refresher.recover(process.store, process.refresher.spills)
    await process.refresher._recovering


def files(folder):
    return sorted(each.name for each in folder.iterdir()) if folder.exists() else []


# ---- adopted


async def test_a_spilled_pair_outlives_its_process(world, process, spilled, folder):
    """Rule 17: A has r1 and ends; B takes it from the disk and spends nothing."""
    a = await spilled()
    (name,) = files(folder)
    assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    b = process("B")
    assert await b.patiently() == "access-r1"
    assert world.sent == ["A r0"]
    assert [event.version for event in b.told(SpillAdopted)] == [2]
    assert not b.told(RefreshStarted)
    assert [event.path for event in a.told(Spilled)] == [str(folder / name)]
    assert files(folder) == []
    # Found before the grace, which it makes pointless.
    assert world.time.passed <= world.timing.lease + 1


async def test_a_process_that_opens_looks_for_spills(world, process, spilled, folder):
    """Rule 17: the pair is in the store before anybody has asked for it."""
    await spilled()
    await opens(process("B"))
    record = await world.record()
    assert (record.token.refresh_token, record.version) == ("r1", 2)
    assert record.live_intent is None
    assert files(folder) == []
    # In a process of another host, too.
    assert await world.process("C").patiently() == "access-r1"
    assert world.sent == ["A r0"]


async def test_a_living_token_does_not_hide_a_spill(world, process, folder):
    """Rules 4a and 17: r0's access token lives for an hour more; r1 is had at once."""
    await world.connect(lifetime=3600)
    a, b = process("A"), process("B")
    a.store.trouble("replace", error=FULL)
    a.account.launch(unwanted="access-r0")
    await world.until(lambda: a.told(Spilled))
    a.kill()
    await b.account.refresh()
    assert b.account.current() == "access-r1"
    assert world.sent == ["A r0"]
    assert files(folder) == []


async def test_a_spill_that_cannot_be_removed_holds_nobody_up(
    world, process, folder, read_only
):
    """Rule 17: what is too old to be adopted is looked at once in a flight."""
    await world.connect(lifetime=3600)
    old = await world.record()
    elsewhere = world.process("elsewhere", {}, {"outcome": Ambiguous("lost")})
    await elsewhere.account.refresh()
    elsewhere.account.launch(unwanted="access-r1")
    await world.until(lambda: world.sent == ["elsewhere r0", "elsewhere r1"])
    elsewhere.kill()
    b = process("B")
    stale = Rotation(old.incarnation, old.version, old.token, "long ago")
    await b.refresher.spills.write(old.key, stale, world.time.wall())
    read_only()
    with pytest.raises(TemporarilyUnavailable):
        await b.account.refresh()
    assert b.account.current() == "access-r1"
    assert len(files(folder)) == 1


async def test_a_spill_during_the_grace_ends_it(world, process):
    """Rules 5 and 17: A's late r1 is spilled while B waits to present r0 again."""
    await world.connect()
    a, b = process("A", {"connect": 9, "answer": 59}), process("B")
    a.calls()
    await asyncio.sleep(10)
    a.store.trouble("renew", "replace", error=FULL)
    waiting = world.spawn(b.patiently())
    await world.until(lambda: a.told(Spilled))
    a.kill()
    assert await waiting == "access-r1"
    assert world.sent == ["A r0"]


async def test_a_spill_voids_a_refusal(world, process, spilled):
    """Rules 15 and 17: r0 was refused on another host; its successor lives."""
    world.issuer.revokes = False
    await spilled()
    assert await world.process("elsewhere").patiently() == "rotation_lost"
    b = process("B")
    await opens(b)
    assert (await world.record()).standing is Standing.CONNECTED
    assert await b.patiently() == "access-r1"


async def test_many_find_one_spill(world, process, spilled, folder):
    """Rule 17: whoever comes second finds our own pair stored, which is a success."""
    await spilled()
    several = [process(name) for name in "BCDE"]
    for each in several:
        # All have read the file before the first one stores it.
        each.store.trouble("replace", before=5, times=1)
    await asyncio.gather(*(opens(each) for each in several))
    assert (await world.record()).version == 2
    assert all(each.told(SpillAdopted) for each in several)
    assert not any(each.told(RefreshConflict) for each in several)
    assert files(folder) == []


async def test_a_spill_of_a_living_process(world, process, folder):
    """Rules 14 and 17: B stores what A cannot; A finds it there and goes on."""
    await world.connect()
    a, b = process("A"), process("B")
    a.store.trouble("replace", error=FULL)
    assert await a.outcome() == "access-r1"
    await opens(b)
    a.store.heal()
    await world.until(lambda: a.told(SavedLate))
    assert not a.told(RefreshConflict)
    assert a.account.unsaved is None
    assert (await world.record()).version == 2
    assert files(folder) == []


async def test_the_store_takes_the_pair_and_the_spill_goes(world, process, folder):
    """Rule 17: what is saved after all is on no disk twice."""
    await world.connect()
    a = process("A")
    a.store.trouble("replace", error=FULL, times=3)
    assert await a.outcome() == "access-r1"
    assert len(files(folder)) == 1
    await world.until(lambda: a.told(SavedLate))
    await a.refresher.aclose()
    assert files(folder) == []
    assert len(a.told(Spilled)) == 1


async def test_a_store_that_does_not_take_a_spill(world, process, spilled, folder):
    """Rule 17: B cannot save either: the file stays until somebody can."""
    await spilled()
    b = process("B")
    b.store.trouble("replace", error=OSError("reset"))
    await opens(b)
    assert len(files(folder)) == 1
    b.store.heal()
    assert await b.patiently() == "access-r1"
    assert files(folder) == []
    assert world.sent == ["A r0"]


# ---- never put back blindly


@pytest.mark.parametrize("what", ["authorized anew", "rotated further", "disconnected"])
async def test_a_spill_does_not_overwrite_what_is_newer(
    world, key, process, spilled, folder, what
):
    """Rules 12, 14 and 17: A's r1 turns up after the store has got something newer."""
    await spilled()
    if what == "authorized anew":
        await world.connect("s0", lifetime=3600)
    elif what == "disconnected":
        await world.store.delete(key)
    else:
        before, pair = await world.record(), world.issuer.pair("q1")
        other = Rotation(before.incarnation, before.version, pair, "another flight")
        await world.store.replace(key, other)
    stored = await world.record()
    b = process("B")
    await opens(b)
    assert await world.record() == stored
    assert files(folder) == []
    assert len(b.told(RefreshConflict)) == 1
    assert not b.told(SpillAdopted)


async def test_a_spill_waits_for_a_foreign_lease_where_there_is_a_window(
    world, key, process, spilled
):
    """Rule 19: stored over C's lease, r1 is used by nobody before that has ended."""
    await spilled(replay_window=600.0)
    await asyncio.sleep(world.timing.lease + 1)
    c = world.process("C", {"process": 30}, replay_window=600.0)
    world.issuer.replays = True
    c.calls()
    await world.until(lambda: len(world.sent) == 2)
    replayed_at = world.time.passed
    b = process("B", replay_window=600.0)
    await opens(b)
    assert (await world.record()).token.refresh_token == "r1"
    assert b.account.current() is None
    assert await b.patiently() == "access-r1"
    assert world.time.passed >= replayed_at + 29
    assert not world.issuer.revoked


# ---- no spill can be had


@pytest.mark.parametrize(
    ("keyring", "why"),
    [
        pytest.param(None, "no key", id="without a key"),
        pytest.param(KEYRING, "nowhere to spill to", id="on a full disk"),
    ],
)
async def test_what_cannot_be_spilled_is_saved_all_the_same(
    world, process, folder, keyring, why, caplog
):
    """Rule 17: no plain text, no loss of what there was before: said, and retried."""
    await world.connect()
    a = process("A", keyring=keyring)
    if keyring is not None:
        folder.write_text("where the folder should be")
    a.store.trouble("replace", error=FULL, times=3)
    assert await a.outcome() == "access-r1"
    await world.until(lambda: a.told(SavedLate))
    assert why in a.told(SpillFailed)[0].why
    assert "ends with this process" in caplog.text
    assert not a.told(Spilled)
    assert (await world.record()).token.refresh_token == "r1"
    assert keyring is not None or files(folder) == []


async def test_a_spill_that_failed_is_tried_again(world, process, folder):
    """Rule 17: there is room again, and the store is still down."""
    await world.connect()
    a, b = process("A"), process("B")
    folder.write_text("in the way")
    a.store.trouble("replace", error=FULL)
    assert await a.outcome() == "access-r1"
    assert a.told(SpillFailed)
    folder.unlink()
    await world.until(lambda: a.told(Spilled))
    a.kill()
    assert await b.patiently() == "access-r1"
    assert world.sent == ["A r0"]


async def test_whatever_happens_to_files_the_save_is_tried_again(
    world, process, folder, caplog
):
    """Rules 11 and 17: no thread is to be had: the pair is saved, B finds nothing."""
    await world.connect()
    a, b = process("A"), process("B")

    async def no_thread(work, /, *arguments):
        raise RuntimeError("cannot schedule new futures after shutdown")

    for each in (a, b):
        each.refresher.spills = Spills((folder,), KEYRING, no_thread)
    a.store.trouble("replace", error=FULL, times=5)
    assert await a.outcome() == "access-r1"
    await opens(b)
    await world.until(lambda: a.told(SavedLate))
    assert a.told(SpillFailed)
    assert "spills were not looked for" in caplog.text
    assert await b.patiently() == "access-r1"
    assert world.sent == ["A r0"]


# ---- files that do not open


def renamed(content):
    header, _, sealed = content.partition(b"\n")
    whose = {**json.loads(header), "account": "other"}
    return json.dumps(whose).encode() + b"\n" + sealed


HARMS = {
    "cut": lambda content: content[:-20],
    "cut in the header": lambda content: content[:20],
    "emptied": lambda content: b"",
    "changed": lambda content: content[:-1] + bytes([content[-1] ^ 1]),
    "renamed": renamed,
    "nested": lambda content: b"[" * 100_000 + b"\n",
}


@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS)
async def test_a_damaged_spill_is_left_and_told_of(
    world, process, spilled, folder, harm, caplog
):
    """Rule 17: it blocks neither the start nor the last resort, and is kept."""
    await spilled()
    (place,) = folder.iterdir()
    harmed = harm(place.read_bytes())
    place.write_bytes(harmed)
    b = process("B")
    await opens(b)
    await opens(b)
    assert await b.patiently() == "rotation_lost"
    (told,) = b.told(SpillUnreadable)
    assert told.path == str(place)
    assert caplog.text.count("left in place") == 1
    assert place.read_bytes() == harmed


async def test_a_spill_under_another_key_waits_for_it(world, process, spilled, folder):
    """Rule 17: a process without the key says so, and one that has it adopts."""
    await spilled()
    b = process("B", keyring=Keyring(Keyring.generate_key()))
    await opens(b)
    assert "not on the keyring" in b.told(SpillUnreadable)[0].why
    assert (await world.record()).version == 1
    await opens(process("C"))
    assert (await world.record()).version == 2
    assert files(folder) == []


async def test_what_is_no_file_is_not_read(process, folder):
    """Rule 17: a pipe in the folder would be waited on for ever."""
    folder.mkdir()
    os.mkfifo(folder / "x.spill")
    (folder / "y.spill").symlink_to("/dev/zero")
    b = process("B")
    await asyncio.wait_for(opens(b), 10)
    assert len(b.told(SpillUnreadable)) == 2


async def test_a_settled_spill_that_stays_is_not_found_again(
    world, process, spilled, read_only, caplog
):
    """Rule 17: a folder that became read-only does not make a flight go in circles."""
    await spilled()
    b = process("B")
    read_only()
    assert await b.patiently() == "access-r1"
    assert await b.account.replacement_for("access-r1") == "access-r2"
    await opens(b)
    assert len(b.told(SpillAdopted)) == 1
    assert not b.told(RefreshConflict)
    assert "cannot be removed" in caplog.text


async def test_another_accounts_spill_is_another_accounts(
    world, process, spilled, folder
):
    """Rule 17: a flight opens what is about its own account and nothing else."""
    await spilled()
    b = process("B")
    other = AccountKey("billit", "other")
    await world.connect("s0", key=other)
    assert await b.refresher.account(other).access_token() == "access-s1"
    assert len(files(folder)) == 1
