"""What a user's test has: a sandbox, a clock, accounts that are connected."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tomllib
from datetime import timedelta
from pathlib import Path

import pytest

from everbearer import Client, ConfigurationError, TemporarilyUnavailable, Token
from everbearer.providers import BILLIT
from everbearer.sandbox import faults
from everbearer.stores import MemoryStore
from everbearer.testing import connected, registration_at, served_sandbox

ROOT = Path(__file__).parents[2]


async def company_of(acme):
    async with acme.get("/v1/whoami", raise_for_status=True) as response:
        return (await response.json())["company"]


@pytest.mark.asyncio
async def test_connect_expire_call(everbearer_sandbox, everbearer_clock):
    """An hour goes by in no time, and the next call refreshes once."""
    registration = registration_at(everbearer_sandbox)
    async with Client(registration, store=MemoryStore()) as client:
        pair = everbearer_sandbox.issue("acme")
        acme = await connected(client, "billit", "acme", token=pair)
        assert await company_of(acme) == "acme"
        everbearer_clock.advance(timedelta(hours=1))
        calls = (company_of(acme) for _ in range(20))
        assert set(await asyncio.gather(*calls)) == {"acme"}
    ledger = everbearer_sandbox.ledger
    assert (ledger.refreshes, ledger.reuse, ledger.unauthorized) == (1, 0, 0)


def test_a_synchronous_test(everbearer_sandbox):
    """The sandbox needs no event loop of the test's own."""

    async def job():
        registration = registration_at(everbearer_sandbox, name="mine")
        async with Client(registration, store=MemoryStore()) as client:
            pair = everbearer_sandbox.issue("acme")
            return await company_of(await connected(client, "mine", "acme", token=pair))

    assert [asyncio.run(job()) for _ in range(2)] == ["acme", "acme"]


@pytest.mark.asyncio
async def test_a_fault_from_the_script(everbearer_sandbox):
    """Faults are planned from the test while the sandbox serves elsewhere."""
    everbearer_sandbox.script.add(faults.status(503, times=1))
    registration = registration_at(everbearer_sandbox)
    async with Client(registration, store=MemoryStore()) as client:
        pair = everbearer_sandbox.issue("acme")
        acme = await connected(client, "billit", "acme", token=pair)
        everbearer_sandbox.script.expire_now("acme")
        with pytest.raises(TemporarilyUnavailable):
            await company_of(acme)
    assert [fault.kind for fault in everbearer_sandbox.ledger.faults][
        -1
    ] == "status 503"


@pytest.mark.asyncio
async def test_the_login_page(everbearer_sandbox):
    """A whole authorization, with somebody who presses Allow."""
    registration = registration_at(everbearer_sandbox)
    async with Client(registration, store=MemoryStore()) as client:
        request = await client.authorization.start("billit", "acme")
        callback = await everbearer_sandbox.approve(request.url, "acme")
        assert (await client.authorization.finish(callback)).standing == "connected"
        assert await company_of(client.session("billit", "acme")) == "acme"


@pytest.mark.asyncio
async def test_settings_of_a_sandbox_of_ones_own():
    """The fixture has the defaults; any other sandbox is a block."""
    with served_sandbox(access_lifetime=5.0) as sandbox:
        assert sandbox.issue("acme").expires_in == 5.0
        with pytest.raises(OSError, match="in use"):  # noqa: SIM117 - the inner raises
            with served_sandbox(port=int(sandbox.url.rpartition(":")[2])):
                pass


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("token", "access_token"),
    [
        pytest.param(None, "access-token-of-acme", id="made up"),
        pytest.param(Token("access-1"), "access-1", id="a Token"),
    ],
)
async def test_connected(everbearer_sandbox, token, access_token):
    """No login page and no token endpoint: the account has a token that is good."""
    registration = registration_at(everbearer_sandbox)
    async with Client(registration, store=MemoryStore()) as client:
        acme = await connected(client, "billit", "acme", token=token)
        assert await acme.access_token() == access_token
        assert (await acme.status()).standing == "connected"
    assert not everbearer_sandbox.ledger.token_requests


def test_a_sandbox_without_redirects(everbearer_sandbox):
    """There would be nothing to register."""
    everbearer_sandbox.settings.redirect_uris = ()
    with pytest.raises(ConfigurationError, match="redirect_uris"):
        registration_at(everbearer_sandbox, BILLIT)


# ---- the clock


def test_the_clock_moves_for_everybody(everbearer_clock):
    """Clients, stores and sandboxes that were made before it moves with it."""
    from everbearer._clock import SystemClock

    clock = SystemClock()
    before = clock.wall(), clock.elapsed()
    everbearer_clock.advance(1000)
    everbearer_clock.advance(timedelta(seconds=1000))
    after = clock.wall(), clock.elapsed()
    assert everbearer_clock.ahead == 2000
    assert all(a - b >= 2000 for a, b in zip(after, before, strict=True))
    with pytest.raises(ValueError, match="not moved back"):
        everbearer_clock.advance(-1)


def test_the_clock_is_put_back(pytester):
    """It is the machine's own again for the next test."""
    pytester.makepyfile(
        """
        import time
        from everbearer._clock import SystemClock

        def test_one(everbearer_clock):
            everbearer_clock.advance(10_000)

        def test_two():
            assert abs(SystemClock().wall() - time.time()) < 5_000
        """
    )
    pytester.runpytest_inprocess(
        "-p", "everbearer_pytest", "-p", "no:asyncio"
    ).assert_outcomes(passed=2)


# ---- the plugin


def test_the_plugin_costs_nothing_unused():
    """Every run of pytest loads it: neither Everbearer nor aiohttp comes along."""
    code = (
        "import sys, everbearer_pytest;"
        "print({'everbearer', 'aiohttp', 'asyncio'} & set(sys.modules))"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert said.stdout == "set()\n"


def test_the_plugin_is_registered_by_its_module_name():
    """A pytest_plugins list may name it beside the entry point."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {
        "everbearer_pytest": "everbearer_pytest"
    }


def test_what_the_extra_brings_is_asked_for():
    """Without it the rest works, and the error says what to install."""
    code = """
import sys
sys.modules["aioresponses"] = None
from everbearer import ConfigurationError
from everbearer.testing import connected
try:
    from everbearer.testing import aioresponses
except ConfigurationError as error:
    print(error)
"""
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert "pip install 'everbearer[testing]'" in said.stdout


def test_there_is_nothing_else():
    """A misspelt name is an ordinary error."""
    import everbearer.testing

    with pytest.raises(AttributeError, match="no attribute 'aioresponse'"):
        _ = everbearer.testing.aioresponse
