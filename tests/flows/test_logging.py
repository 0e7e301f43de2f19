"""What is logged, how loudly, how often, and with which fields."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections import Counter

import pytest

from everbearer import (
    AuthorizationRequired,
    Client,
    ConfigurationError,
    EverbearerError,
    Registration,
    StoreError,
    TemporarilyUnavailable,
    Timing,
)
from everbearer.events import StandingChanged
from everbearer.sandbox import faults
from everbearer.stores import MemoryStore, SqliteStore


@pytest.fixture
def log(caplog):
    """Everything that our loggers say."""
    with caplog.at_level(logging.DEBUG, "everbearer"):
        yield caplog


def ours(log, level: int = logging.DEBUG) -> list[logging.LogRecord]:
    return [
        record
        for record in log.records
        if record.name.startswith("everbearer.") and record.levelno >= level
    ]


def loud(log) -> list[str]:
    return [record.getMessage() for record in ours(log, logging.WARNING)]


async def whoami(client, account: str = "acme") -> str:
    session = client.session("billit", account)
    async with session.get("/v1/whoami", raise_for_status=True) as response:
        return (await response.json())["company"]


async def outcomes(client, calls: int, account: str = "acme") -> Counter[str]:
    """How *calls* at once and as many one after the other end."""
    ended = await asyncio.gather(
        *(whoami(client, account) for _ in range(calls // 2)), return_exceptions=True
    )
    for _ in range(calls - len(ended)):
        try:
            ended.append(await whoami(client, account))
        except EverbearerError as error:
            ended.append(error)
    return Counter(type(each).__name__ for each in ended)


# ---- how loudly


@pytest.mark.asyncio
@pytest.mark.parametrize("why", ["expired", "rejected", "asked-for"])
async def test_a_refresh_that_worked_is_debug(
    sandbox, client, connect, log, why
) -> None:
    """Fifty thousand accounts that refresh every hour are no news."""
    await connect(expired=why == "expired")
    if why == "rejected":
        sandbox.script.expire_now("acme")
    if why == "asked-for":
        await client.session("billit", "acme").refresh()
    assert await whoami(client) == "acme"
    assert sandbox.ledger.refreshes == 1
    assert {record.levelno for record in ours(log)} == {logging.DEBUG}
    assert any(record.getMessage().startswith("refreshed") for record in ours(log))


@pytest.mark.asyncio
async def test_nothing_is_said_by_default(client, connect, caplog) -> None:
    """A program that configures no logging reads nothing while all is well."""
    await connect(expired=True)
    await whoami(client)
    assert ours(caplog) == []


@pytest.mark.asyncio
async def test_a_quiet_fast_path(client, connect, log) -> None:
    """A call with a fresh token that is taken leaves no record at all."""
    await connect()
    await whoami(client)
    log.clear()
    for _ in range(10):
        await whoami(client)
    assert ours(log) == []


# ---- how often


@pytest.mark.asyncio
@pytest.mark.parametrize("expired", [False, True], ids=["by-the-api", "by-the-refresh"])
async def test_one_warning_for_a_thousand_calls(
    sandbox, client, connect, events, log, expired
) -> None:
    """A revoked account is one change of standing, however many notice."""
    await connect(expired=expired)
    sandbox.script.revoke("acme")
    assert await outcomes(client, 1000) == {"AuthorizationRequired": 1000}
    assert len(loud(log)) == 1
    assert "must be connected again" in loud(log)[0]
    assert len([e for e in events if isinstance(e, StandingChanged)]) == 1


@pytest.mark.asyncio
async def test_one_warning_for_two_clients(
    sandbox, registration, store, connect, log
) -> None:
    """Several processes on one store notice a revoked account; one of them says so."""
    await connect(expired=True)
    sandbox.script.revoke("acme")
    async with (
        Client(registration, store=store) as one,
        Client(registration, store=store) as two,
    ):
        ended = await asyncio.gather(outcomes(one, 20), outcomes(two, 20))
    assert sum(ended, Counter()) == {"AuthorizationRequired": 40}
    assert len(loud(log)) == 1


@pytest.mark.asyncio
async def test_a_warning_for_each_change(sandbox, client, connect, log) -> None:
    """Connected again and revoked again: that is news again."""
    for _ in range(3):
        await connect(expired=True)
        sandbox.script.revoke("acme")
        assert await outcomes(client, 4) == {"AuthorizationRequired": 4}
    assert len(loud(log)) == 3


@pytest.mark.asyncio
async def test_a_warning_for_each_account(sandbox, client, connect, log) -> None:
    """Each carries its own account in its fields."""
    for account in ("one", "two"):
        await connect(account, expired=True)
        sandbox.script.revoke(account)
        await outcomes(client, 4, account)
    warnings = ours(log, logging.WARNING)
    assert [record.account for record in warnings] == ["one", "two"]


@pytest.mark.asyncio
async def test_an_account_that_was_never_connected_is_no_warning(client, log) -> None:
    """Nothing changed; the caller's error says it."""
    with pytest.raises(AuthorizationRequired):
        await whoami(client)
    assert loud(log) == []


@pytest.mark.asyncio
@pytest.mark.parametrize("expired", [False, True], ids=["token-lives", "token-expired"])
async def test_a_spell_of_503_does_not_spam(
    sandbox, client, connect, log, expired
) -> None:
    """Callers may see TemporarilyUnavailable; the log has a line for each attempt."""
    await connect(expired=expired)
    sandbox.script.add(faults.spell(503, retry_after=60))
    if not expired:
        with pytest.raises(TemporarilyUnavailable, match="lives on"):
            await client.session("billit", "acme").refresh()
    ended = await outcomes(client, 200)
    assert set(ended) == {"TemporarilyUnavailable" if expired else "str"}
    told = ours(log, logging.INFO)
    assert len(told) == len(sandbox.ledger.token_requests) == 1
    assert told[0].levelno == logging.INFO
    assert "next attempt in" in told[0].getMessage()


@pytest.mark.asyncio
async def test_a_secret_that_is_wrong_does_not_spam(
    sandbox, provider, store, connect, log
) -> None:
    """One WARNING when nobody is refreshed any more, and a line for each attempt."""
    await connect(expired=True)
    wrong = Registration(provider, sandbox.settings.client_id, "not the secret")
    async with Client(wrong, store=store, timing=Timing(back_off=60.0)) as client:
        ended = await outcomes(client, 100)
    assert set(ended) == {ConfigurationError.__name__}
    assert len(sandbox.ledger.token_requests) == 1
    levels = [record.levelno for record in ours(log, logging.INFO)]
    assert levels == [logging.WARNING, logging.INFO]
    assert "client_secret" in loud(log)[0]


@pytest.mark.asyncio
async def test_no_record_twice(sandbox, client, connect, log) -> None:
    """Each thing that happens is said once, in one place."""
    await connect()
    sandbox.script.expire_now("acme")
    await whoami(client)
    said = Counter((record.name, record.getMessage()) for record in ours(log))
    assert [each for each, times in said.items() if times > 1] == []
    stations = {record.name for record in ours(log)}
    assert stations == {
        "everbearer.transport",
        "everbearer.refresh",
        "everbearer.token_endpoint",
    }


# ---- with which fields


@pytest.mark.asyncio
async def test_every_record_carries_provider_and_account(
    sandbox, registration, tmp_path, log
) -> None:
    """So that one format, and one filter, serves them all."""
    store = SqliteStore(tmp_path / "tokens.db")

    def failing(_: object) -> None:
        raise LookupError("an observer broke")

    async with Client(registration, store=store, hooks=[failing]) as client:
        request = await client.authorization.start("billit", "acme")
        callback = await sandbox.approve(request.url)
        await client.authorization.finish(callback)
        for act in (sandbox.script.expire_now, sandbox.script.invalidate_now):
            act("Acme")
            await whoami(client)
        sandbox.script.revoke("Acme")
        with pytest.raises(AuthorizationRequired):
            await whoami(client)
        await client.disconnect("billit", "acme")
    shown = logging.Formatter("%(levelname)s %(provider)s/%(account)s %(message)s")
    about = Counter()
    for record in ours(log):
        assert shown.format(record)
        about[record.name, record.provider, record.account] += 1
    assert about.pop(("everbearer.stores", "", "")) == 2  # The key file, the path.
    assert {(provider, account) for _, provider, account in about} == {
        ("billit", "acme")
    }
    assert ("everbearer.events", "billit", "acme") in about


@pytest.mark.asyncio
async def test_a_store_that_fails_is_an_error_with_fields(
    sandbox, registration, log
) -> None:
    """The loudest record, a rotation that is not stored yet, names its account."""

    class Failing(MemoryStore):
        failures = 0

        async def replace(self, *args: object, **options: object) -> object:
            if self.failures:
                self.failures -= 1
                raise StoreError("the disk is full")
            return await super().replace(*args, **options)

    store = Failing()
    async with Client(registration, store=store) as client:
        request = await client.authorization.start("billit", "acme")
        await client.authorization.finish(await sandbox.approve(request.url))
        store.failures = 1
        sandbox.script.expire_now("Acme")
        await whoami(client)
    (error,) = ours(log, logging.WARNING)
    assert (error.levelno, error.account) == (logging.ERROR, "acme")
    assert "the disk is full" in error.getMessage()


# ---- whose business the configuration is

UNCONFIGURED = """
import importlib, logging, pkgutil
import everbearer

for found in pkgutil.walk_packages(everbearer.__path__, "everbearer."):
    if not found.name.startswith(("everbearer.cli", "everbearer.testing")):
        importlib.import_module(found.name)
loggers = [logging.getLogger()] + [
    logger
    for name, logger in logging.root.manager.loggerDict.items()
    if name.startswith("everbearer") and isinstance(logger, logging.Logger)
]
assert len(loggers) > 5
for logger in loggers:
    assert not logger.handlers and not logger.filters and logger.propagate, logger
    assert logger.level == (0 if logger.parent else logging.WARNING), logger
assert logging.getLoggerClass() is logging.Logger
assert logging.getLogRecordFactory() is logging.LogRecord
assert not logging.root.manager.disable
"""


def test_an_import_configures_no_logging():
    """No handler, no level, no filter: those are the program's."""
    ran = subprocess.run(
        [sys.executable, "-c", UNCONFIGURED],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
