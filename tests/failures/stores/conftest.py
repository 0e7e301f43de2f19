"""Stores that fail between the answer and the save, and heal again.

A `Fault` is one way in which one kind of store fails.  Another back end joins by an
entry in `FAULTS`: where its store is, how it is made to fail now, and how it heals.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import pytest_asyncio

from everbearer import Client, Registration, Token
from everbearer.providers import BILLIT
from everbearer.sandbox import Sandbox
from everbearer.stores import Keyring

WORKER = Path(__file__).with_name("worker.py")


class Fault:
    """How a store fails.  This one is a SQLite file in *folder*."""

    def __init__(self, folder):
        self.folder = folder
        self.path = folder / "tokens.db"
        self.url = f"sqlite:///{self.path}"

    def start(self):
        """Make ready, or skip."""

    async def strike(self, worker):
        """From now on nothing can be written."""

    async def heal(self, worker):
        """All is well again; *worker* is None if it was killed."""

    def end(self):
        """Clean up."""


class Locked(Fault):
    """Another program holds the write lock, and holds it, and holds it."""

    async def strike(self, worker):
        self._other = sqlite3.connect(self.path, timeout=5, isolation_level=None)
        self._other.execute("BEGIN EXCLUSIVE")

    async def heal(self, worker):
        self._other.execute("ROLLBACK")
        self._other.close()


class ToldFault(Fault):
    """What only the process itself can do to itself; it ends with it."""

    strikes = heals = ""

    async def strike(self, worker):
        await worker.tell(self.strikes)

    async def heal(self, worker):
        if worker is not None:
            await worker.tell(self.heals)


class FileTooLarge(ToldFault):
    """No file grows beyond a few kB: a quota, or a disk with little left."""

    strikes, heals = "limit", "unlimit"


class ReadOnly(ToldFault):
    """The database cannot be written by this process any more."""

    strikes, heals = "read_only", "writable"


class FullDisk(Fault):
    """A file system with not one byte left; the spill must go to another one."""

    def start(self):
        self.folder.mkdir(exist_ok=True)
        mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(self.folder)]
        try:
            subprocess.run(mount, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("making a small file system needs root")

    async def strike(self, worker):
        # What the log has allocated already would still take a few writes.
        other = sqlite3.connect(self.path, timeout=5, isolation_level=None)
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        other.close()
        with suppress(OSError), (self.folder / "filler").open("wb", 0) as filler:
            while True:
                filler.write(bytes(4096))

    async def heal(self, worker):
        (self.folder / "filler").unlink()

    def end(self):
        subprocess.run(["umount", "-l", str(self.folder)], check=False)


class Stopped(Fault):
    """A server that ends every session, or is killed; then it is started again."""

    server = ""

    def use(self, server):
        self._server = server

    async def strike(self, worker):
        # Nothing is answered meanwhile: the sandbox is in the same event loop.
        self._server.stop()

    async def heal(self, worker):
        self._server.start()


class StoppedPostgres(Stopped):
    """PostgreSQL is shut down, as for an upgrade."""

    server = "restartable_postgres"

    def use(self, server):
        super().use(server)
        self.url = server.new_database()


class KilledRedis(Stopped):
    """Redis is killed; it has written each change down before it acknowledged it."""

    server = "restartable_redis"

    def use(self, server):
        super().use(server)
        self.url = server.url


FAULTS = {
    "sqlite-locked": Locked,
    "sqlite-read-only": ReadOnly,
    "sqlite-file-too-large": FileTooLarge,
    "sqlite-full-disk": FullDisk,
    "postgres-stopped": StoppedPostgres,
    "redis-killed": KilledRedis,
}


@pytest.fixture(name="fault", params=FAULTS)
def _fault(request, tmp_path, monkeypatch):
    """A store of each kind, and a way in which it fails."""
    monkeypatch.delenv("EVERBEARER_KEYS", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    fault = FAULTS[request.param](tmp_path / "store")
    fault.folder.mkdir()
    if isinstance(fault, Stopped):
        monkeypatch.setenv("EVERBEARER_KEYS", Keyring.generate_key())
        fault.use(request.getfixturevalue(fault.server))
    fault.start()
    yield fault
    fault.end()


class Worker:
    """A process of callers, from outside."""

    def __init__(self, process):
        self._process = process

    async def tell(self, command):
        """Have it done; what it saw."""
        self._process.stdin.write(f"{command}\n".encode())
        return await self.hear(command)

    async def hear(self, command):
        """The next answer, which must be to *command*."""
        line = await asyncio.wait_for(self._process.stdout.readline(), 30)
        said = json.loads(line)
        assert said["did"] == command
        return said["saw"]

    def begin(self, command):
        """Have it done, and do not wait."""
        self._process.stdin.write(f"{command}\n".encode())

    async def kill(self):
        """As the kernel does it to whoever takes too much memory."""
        self._process.kill()
        await self._process.wait()

    async def end(self):
        """Let it close its Client."""
        self._process.stdin.close()
        assert await asyncio.wait_for(self._process.wait(), 30) == 0


@pytest_asyncio.fixture(name="sandbox")
async def _sandbox():
    async with Sandbox() as running:
        yield running


@pytest.fixture(name="client")
def _client(sandbox, fault):
    """A Client of the test's own process."""
    provider = BILLIT.with_hosts(sandbox.url, sandbox.url, sandbox.url)
    registration = Registration(provider, "sandbox-client", "sandbox-secret")
    return Client(registration, store=fault.url)


@pytest.fixture(name="connect")
def _connect(sandbox, client):
    """Give many accounts a grant, without the login page."""

    async def connected(count):
        accounts = [f"company-{number}" for number in range(count)]
        async with client:
            for account in accounts:
                pair = sandbox.issue(account)
                token = Token(pair.access_token, pair.refresh_token)
                await client.adopt("billit", account, token)
        return accounts

    return connected


@pytest.fixture(name="start")
def _start(sandbox, fault):
    """Start a worker; a context manager that leaves none behind."""

    @asynccontextmanager
    async def started(accounts):
        order = {
            "url": sandbox.url,
            "store": fault.url,
            "accounts": accounts,
            "lock_wait": 0.3,
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            WORKER,
            json.dumps(order),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            yield Worker(process)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    return started
