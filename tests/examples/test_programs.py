"""The examples that are run from a terminal."""

from __future__ import annotations

import pytest

from everbearer.sandbox import faults

pytestmark = pytest.mark.asyncio

ORDERS_OF_ACME = ["Acme-1", "Acme-2", "Acme-3"]


async def test_the_notebook_connects_an_account_and_reads_orders(
    sandbox, started, examples, run
) -> None:
    """Its user follows the link and pastes the callback; later nobody is asked."""
    async with started(examples / "notebook.py", "acme") as process:
        assert await process.stdout.readline() == b"acme is needs_authorization\n"
        await process.stdout.readline()
        link = (await process.stdout.readline()).decode().strip()
        callback = await sandbox.approve(link)
        said, complained = await process.communicate(f"{callback}\n".encode())
    assert (process.returncode, complained) == (0, b"")
    connected = ["> acme is connected", *ORDERS_OF_ACME]
    assert said.decode().splitlines() == connected
    sandbox.script.expire_now()
    assert await run("notebook.py", "acme") == ["acme is connected", *ORDERS_OF_ACME]
    assert (sandbox.ledger.exchanges, sandbox.ledger.refreshes) == (1, 1)


async def test_the_worker_pool_refreshes_each_account_once(
    sandbox, connect, run
) -> None:
    """All jobs find an expired token; only the user who left is told about."""
    await connect("acme", "globex", "initech", "umbrella")
    sandbox.script.expire_now()
    sandbox.script.revoke("umbrella")
    said = await run(
        "worker_pool.py", warned="billit/umbrella must be connected again: revoked\n"
    )
    assert set(said) == {
        "umbrella needs its user: revoked",
        "umbrella has 0 orders",
        *(f"{account} has 250 orders" for account in ("acme", "globex", "initech")),
    }
    ledger = sandbox.ledger
    assert (ledger.refreshes, ledger.reuse, ledger.lost_grants) == (3, 0, 0)


async def test_the_worker_pool_passes_on_how_long_to_wait(
    sandbox, connect, run
) -> None:
    """An outage of the token endpoint comes out of the processes as it is."""
    await connect("acme")
    sandbox.script.expire_now()
    sandbox.script.add(faults.spell(503))
    *waits, total = await run("worker_pool.py")
    assert total == "acme has 0 orders"
    assert len(waits) == 5
    assert all(wait.startswith("acme again in ") for wait in waits)


async def test_the_worker_pool_without_an_account_says_so(run) -> None:
    """Nothing to do is no silent success."""
    said = await run("worker_pool.py")
    assert said == ["no account is connected: start with notebook.py"]


async def test_the_library_gets_a_session_with_the_token(sandbox, connect, run) -> None:
    """An expired token is no news to it; a 401 about an order is, and costs nothing."""
    await connect("acme")
    sandbox.script.expire_now()
    assert await run("api_library.py", "acme") == [
        "acme has 250 orders",
        "acme-1",
        "acme-2",
        "acme-3",
        "somebody else's: None",
    ]
    assert sandbox.ledger.refreshes == 1


async def test_httpx_shares_one_refresh_among_its_calls(sandbox, connect, run) -> None:
    """Calls that are refused together are all sent again with one new token."""
    await connect("acme")
    sandbox.script.expire_now()
    assert await run("httpx_caller.py", "acme") == ["acme has 250 orders"]
    assert (sandbox.ledger.refreshes, sandbox.ledger.reuse) == (1, 0)


async def test_httpx_is_told_that_the_user_has_left(
    sandbox, connect, started, examples
):
    """A withdrawn grant ends in AuthorizationRequired, and no call is repeated."""
    await connect("acme")
    sandbox.script.revoke("acme")
    async with started(examples / "httpx_caller.py", "acme") as process:
        _, complained = await process.communicate()
    assert process.returncode == 1
    assert b"AuthorizationRequired: account 'acme' at 'billit'" in complained
    assert sandbox.ledger.refused == sandbox.ledger.calls


@pytest.mark.parametrize(
    ("billit", "api"),
    [
        pytest.param("sandbox", "https://api.sandbox.billit.be", id="sandbox"),
        pytest.param("production", "https://api.billit.be", id="production"),
    ],
)
async def test_the_settings_lead_to_the_real_billit(
    started, environment, examples, billit, api
) -> None:
    """With the variables that settings.py names; without them it does not start."""
    show = (
        "import sys; sys.path.append(sys.argv[1]); import settings;"
        "print(settings.REGISTRATION.provider.base.api)"
    )
    environment |= {"BILLIT": billit, "BILLIT_CLIENT_ID": "x"}
    async with started("-c", show, examples) as process:
        _, complained = await process.communicate()
        assert b"KeyError: 'BILLIT_CLIENT_SECRET'" in complained
    environment |= {
        "BILLIT_CLIENT_SECRET": "y",
        "BILLIT_REDIRECT_URI": "https://app.example/callback",
    }
    async with started("-c", show, examples) as process:
        assert await process.communicate() == (f"{api}\n".encode(), b"")
