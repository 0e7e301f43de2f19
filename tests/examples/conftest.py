"""Runs the programs under examples/ as a reader would, against a sandbox."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from everbearer import Client, Registration, Token
from everbearer._clock import instant
from everbearer.providers import BILLIT
from everbearer.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


@pytest_asyncio.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """Billit on a loopback port."""
    async with Sandbox(orders_per_account=250) as running:
        yield running


@pytest.fixture
def registration(sandbox: Sandbox) -> Registration:
    """What the sandbox knows the examples as."""
    return Registration(
        BILLIT.with_hosts(sandbox.url, sandbox.url, sandbox.url),
        sandbox.settings.client_id,
        sandbox.settings.client_secret,
        "http://127.0.0.1:8411/callback",
    )


@pytest.fixture
def store(tmp_path: Path) -> str:
    """The examples' token store."""
    return f"sqlite:///{tmp_path / 'tokens.db'}"


@pytest.fixture
def environment(sandbox: Sandbox, store: str) -> dict[str, str]:
    """What settings.py reads, and nothing that somebody has exported."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("BILLIT", "EVERBEARER"))
    }
    return {
        **inherited,
        "BILLIT": sandbox.url,
        "TOKEN_STORE": store,
        "PYTHONUNBUFFERED": "1",
        "PYTHONWARNINGS": "error",
    }


@pytest_asyncio.fixture
async def client(registration: Registration, store: str) -> AsyncIterator[Client]:
    """A Client on the examples' store."""
    async with Client(registration, store=store) as opened:
        yield opened


@pytest.fixture
def connect(sandbox: Sandbox, client: Client) -> Callable[..., object]:
    """Connect accounts without the login page.

    *good_for* is how many seconds their tokens claim to live; the sandbox has them
    live for an hour.
    """

    async def connected(*accounts: str, good_for: float = 3600.0) -> None:
        for account in accounts:
            pair = sandbox.issue(account)
            ends = instant(sandbox.clock() + good_for)
            token = Token(pair.access_token, pair.refresh_token, ends)
            await client.adopt("billit", account, token)

    return connected


@pytest.fixture
def examples() -> Path:
    """Where they are."""
    return Path(__file__).parents[2] / "examples"


@pytest.fixture
def started(
    environment: dict[str, str], tmp_path: Path, canary
) -> Callable[..., object]:
    """Start Python in the examples' environment; it is killed if it outlives its use.

    ``async with started(examples / "notebook.py") as process``, with three pipes.  What
    the test leaves in them is looked at by the canary.
    """

    @contextlib.asynccontextmanager
    async def start(
        *arguments: str | Path,
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            cwd=tmp_path,
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            canary.note("output of an example", *await process.communicate())

    return start


@pytest.fixture
def run(started, examples: Path, canary) -> Callable[..., object]:
    """Run an example to its good end; what it printed.

    *warned* is the log that goes to stderr, because the examples configure no logging.
    """

    async def ran(name: str, *arguments: str, warned: str = "") -> list[str]:
        async with started(examples / name, *arguments) as process:
            said, complained = await process.communicate()
        canary.note("output of an example", said, complained)
        assert (process.returncode, complained.decode()) == (0, warned)
        return said.decode().splitlines()

    return ran
