"""``everbearer keep``, as one would type it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys

import pytest

from everbearer import Client, Registration, Token
from everbearer.providers import BILLIT
from everbearer.sandbox import Sandbox

pytestmark = pytest.mark.asyncio

SECRET_ENV = "EVERBEARER_TEST_CLIENT_SECRET"


def configuration(folder, url="https://127.0.0.1:9", *, store=None, **changes):
    """A file for `keep`; *changes* of None leave a line out."""
    members = {
        "provider": "billit",
        "client_id": "sandbox-client",
        "client_secret_env": SECRET_ENV,
        "refresh_idle_lifetime": 1.5,
    }
    members.update(changes)
    path = folder / "keep.toml"
    lines = [
        f"store = {json.dumps(store or f'sqlite:///{folder}/tokens.db')}",
        "[registrations.billit]",
        *(
            f"{name} = {json.dumps(value)}"
            for name, value in members.items()
            if value is not None
        ),
        "[registrations.billit.hosts]",
        *(f"{name} = {json.dumps(url)}" for name in ("login", "token", "api")),
    ]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return str(path)


async def start(path, **environment):
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "everbearer.cli", "keep", path),
        env={**os.environ, SECRET_ENV: "sandbox-secret", **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_two_of_them_keep_an_account_alive(tmp_path, number):
    """They refresh it again and again, spend nothing twice, and stop when told to."""
    async with Sandbox() as sandbox:
        provider = BILLIT.with_hosts(sandbox.url, sandbox.url, sandbox.url)
        registration = Registration(provider, "sandbox-client", "sandbox-secret")
        path = configuration(tmp_path, sandbox.url)
        async with Client(
            registration, store=f"sqlite:///{tmp_path}/tokens.db"
        ) as client:
            pair = sandbox.issue("acme")
            token = Token(pair.access_token, pair.refresh_token)
            await client.adopt("billit", "acme", token)
            keepers = [await start(path) for _ in range(2)]
            for each in keepers:
                assert await each.stdout.readline() == b"keeping billit\n"
            while sandbox.ledger.refreshes < 3:
                await asyncio.sleep(0.01)
            for each in keepers:
                each.send_signal(number)
            ended = [await each.communicate() for each in keepers]
            assert ended == [(b"stopped\n", b"")] * 2
            status = await client.session("billit", "acme").refresh()
    assert status.standing == "connected"
    assert sandbox.ledger.reuse == sandbox.ledger.last_resort == 0


@pytest.mark.parametrize(
    ("changes", "environment", "said"),
    [
        pytest.param(
            {"refresh_idle_lifetime": None}, {}, "nothing to keep", id="nothing-to-keep"
        ),
        pytest.param(
            {"refresh_idle_lifetime": -1.0}, {}, "seconds above 0", id="lifetime"
        ),
        pytest.param({"client_id": None}, {}, "client_id", id="missing"),
        pytest.param({"colour": "red"}, {}, "colour", id="unknown-member"),
        pytest.param(
            {"provider": "nobody"}, {}, "no provider is called 'nobody'", id="provider"
        ),
        pytest.param({}, {SECRET_ENV: ""}, f"{SECRET_ENV} is not set", id="no-secret"),
        pytest.param({"store": "mysql://x"}, {}, "mysql", id="unknown-store"),
        pytest.param(
            {"store": "sqlite:////nowhere/at/all.db"}, {}, "folder", id="no-folder"
        ),
    ],
)
async def test_a_configuration_that_cannot_work_is_told(
    tmp_path, changes, environment, said
):
    """What is wrong in one line, exit code 1, no traceback."""
    path = configuration(tmp_path, **changes)
    process = await start(path, **environment)
    _, complained = await process.communicate()
    assert process.returncode == 1
    assert said in complained.decode()
    assert b"Traceback" not in complained
