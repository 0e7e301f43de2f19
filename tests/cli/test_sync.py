"""``everbearer sync`` and ``everbearer sandbox``, as one would type them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import urllib.request
from contextlib import closing

import pytest

from everbearer import Client, Keyring, Registration, Token
from everbearer.providers import BILLIT
from everbearer.sandbox import Sandbox

SECRET_ENV = "EVERBEARER_TEST_CLIENT_SECRET"


def configuration(folder, **changes) -> str:
    """A file for `sync`; *changes* of None leave a line out."""
    members = {
        "client_id": "sandbox-client",
        "client_secret_env": SECRET_ENV,
        "store": f"sqlite:///{folder / 'tokens.db'}",
        "documents": str(folder / "orders.db"),
        "page_size": 10,
    }
    hosts = changes.pop("hosts", None)
    members.update(changes)
    lines = [
        f"{name} = {json.dumps(value)}"
        for name, value in members.items()
        if value is not None
    ]
    if hosts:
        lines += ["[hosts]", *(f'{n} = "{hosts}"' for n in ("login", "token", "api"))]
    path = folder / "sync.toml"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return str(path)


def everbearer(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    """Run the command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "everbearer.cli", *arguments],
        env={**os.environ, SECRET_ENV: "sandbox-secret", **environment},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


@pytest.mark.parametrize(
    ("changes", "environment", "said"),
    [
        pytest.param(
            {"client_id": None},
            {},
            "required field missing @ $.client_id",
            id="missing",
        ),
        pytest.param({"colour": "red"}, {}, "colour", id="unknown-member"),
        pytest.param({"page_size": "ten"}, {}, "page_size", id="wrong-type"),
        pytest.param(
            {"provider": "nobody"}, {}, "no provider is called 'nobody'", id="provider"
        ),
        pytest.param({}, {SECRET_ENV: ""}, f"{SECRET_ENV} is not set", id="no-secret"),
        pytest.param({"provider": "xero"}, {}, "add a [listing]", id="unknown-listing"),
        pytest.param(
            {"environment": "moon"}, {}, "environment", id="unknown-environment"
        ),
        pytest.param({"store": "mysql://x"}, {}, "mysql", id="unknown-store"),
    ],
)
def test_a_configuration_that_cannot_work_is_told(
    tmp_path, changes, environment, said
) -> None:
    """What is wrong in one line, exit code 1, no traceback, nothing made."""
    ended = everbearer("sync", configuration(tmp_path, **changes), **environment)
    assert ended.returncode == 1
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "tokens.db").exists()


def test_nobody_connected_is_no_silent_success(tmp_path) -> None:
    """An empty store is told, and what to do about it."""
    ended = everbearer("sync", configuration(tmp_path))
    assert ended.returncode == 1
    assert "connect one with client.authorization first" in ended.stderr


def test_a_new_key_is_one_that_the_store_takes(tmp_path) -> None:
    """``everbearer key new`` prints what EVERBEARER_KEYS wants."""
    made = everbearer("key", "new").stdout.strip()
    assert repr(Keyring(made))
    assert made != everbearer("key", "new").stdout.strip()


@pytest.mark.asyncio
async def test_every_document_arrives_once_and_again_not_at_all(tmp_path) -> None:
    """A second run finds all pages in the file, and asks for what comes after."""
    async with Sandbox(orders_per_account=25) as sandbox:
        registration = Registration(
            BILLIT.with_hosts(sandbox.url, sandbox.url, sandbox.url),
            "sandbox-client",
            "sandbox-secret",
        )
        store = f"sqlite:///{tmp_path / 'tokens.db'}"
        async with Client(registration, store=store) as client:
            for account in ("acme", "globex"):
                pair = sandbox.issue(account)
                token = Token(pair.access_token, pair.refresh_token)
                await client.adopt("billit", account, token)
        path = configuration(tmp_path, hosts=sandbox.url)
        for _ in range(2):
            ended = await run_async("sync", path)
            assert (ended, sandbox.ledger.documents) == (0, 50)
    with closing(sqlite3.connect(tmp_path / "orders.db")) as db:
        rows = db.execute(
            "select account, count(*), max(arrivals) from documents group by 1"
        ).fetchall()
    assert rows == [("billit/acme", 25, 1), ("billit/globex", 25, 1)]


async def run_async(*arguments: str) -> int:
    """Run the command while this process serves the sandbox."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "everbearer.cli", *arguments),
        env={**os.environ, SECRET_ENV: "sandbox-secret"},
    )
    return await process.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_sandbox_serves_until_it_is_told_to_stop(number) -> None:
    """It says where it is and with which client, and ends without a traceback."""
    with subprocess.Popen(
        [sys.executable, "-m", "everbearer.cli", "sandbox", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        try:
            lines = [process.stdout.readline() for _ in range(4)]
            url = lines[0].rpartition(" ")[2].strip()
            with urllib.request.urlopen(f"{url}/_sandbox/ledger") as response:
                assert json.load(response)["total"]["reuse"] == 0
            process.send_signal(number)
            said, complained = process.communicate(timeout=20)
        finally:
            process.kill()
    assert lines[1].split() == ["client", "id", "sandbox-client"]
    assert said == "stopped\n"
    assert complained == ""


def test_a_worker_number_that_is_none_of_theirs(tmp_path) -> None:
    """Workers count from 0 to below --of."""
    ended = everbearer("sync", configuration(tmp_path), "--worker", "2", "--of", "2")
    assert ended.returncode == 2
    assert "--worker counts from 0 to below --of" in ended.stderr
