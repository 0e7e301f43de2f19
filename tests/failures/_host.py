"""Processes of one host, what one of them has left behind, and where."""

from __future__ import annotations

import pytest

from everbearer import Keyring, StoreError
from everbearer.events import Spilled
from everbearer.stores import Spills

FULL = StoreError("the disk is full")
KEYRING = Keyring(Keyring.generate_key())


async def at_once(work, /, *arguments):
    """A thread would be waited for in real time."""
    return work(*arguments)


@pytest.fixture(name="folder")
def _folder(tmp_path):
    return tmp_path / "spill"


@pytest.fixture(name="process")
def _process(world, folder):
    """A process on the one host of this world."""

    def start(name, *trips, keyring=KEYRING, **provider):
        process = world.process(name, *trips, **provider)
        process.refresher.spills = Spills((folder,), keyring, at_once)
        return process

    return start


@pytest.fixture(name="spilled")
def _spilled(world, process):
    """A has rotated r0, could not save r1, and has ended."""

    async def happen(**provider):
        await world.connect()
        a = process("A", **provider)
        a.store.trouble("replace", error=FULL)
        await a.outcome()
        await world.until(lambda: a.told(Spilled))
        a.kill()
        return a

    return happen


@pytest.fixture(name="read_only")
def _read_only(folder, monkeypatch):
    """Let no spill be removed any more."""
    real = type(folder).unlink

    def unlink(place, *, missing_ok=False):
        if place.suffix == ".spill":
            raise PermissionError(13, "read-only")
        real(place, missing_ok=missing_ok)

    return lambda: monkeypatch.setattr(type(folder), "unlink", unlink)
