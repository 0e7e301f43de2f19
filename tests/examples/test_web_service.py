"""The web service, served by uvicorn on a free port and asked over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
from collections import Counter

import aiohttp
import pytest
import pytest_asyncio
from attrs import define, field
from yarl import URL

from everbearer import Client
from everbearer.sandbox import faults

pytestmark = pytest.mark.asyncio

TENANTS = [f"tenant-{number}" for number in range(500)]
AT_ONCE = 50


@define
class Service:
    """A running web service."""

    process: asyncio.subprocess.Process
    url: URL
    http: aiohttp.ClientSession
    canary: object

    async def stop(self) -> str:
        """Ask it to stop, as a service manager would; what it has logged."""
        self.process.send_signal(signal.SIGTERM)
        _, said = await self.process.communicate()
        self.canary.note("log of the web service", said)
        return said.decode()


@define
class Browser:
    """Somebody's browser: it keeps cookies, and shows what it is redirected to."""

    service: Service
    cookies: dict[str, str] = field(factory=dict)

    async def visit(self, path: str) -> tuple[int, object]:
        """The status, and where it leads to or what it says."""
        async with self.service.http.get(
            self.service.url.join(URL(path, encoded=True)),
            cookies=self.cookies,
            allow_redirects=False,
        ) as response:
            self.cookies |= {
                name: cookie.value for name, cookie in response.cookies.items()
            }
            if response.status == 303:
                return 303, response.headers["Location"]
            if response.content_type == "application/json":
                return response.status, await response.json()
            return response.status, await response.text()


@pytest_asyncio.fixture
async def service(started, examples, canary):
    """The service; a test may stop it."""
    async with (
        started(
            *("-m", "uvicorn", "web_service:app", "--app-dir", examples),
            *("--port", "0", "--no-access-log"),
        ) as process,
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http,
    ):
        said = ""
        while not (found := re.search(r"running on (http://\S+)", said)):
            line = await process.stderr.readline()
            assert line, said
            said += line.decode()
        yield Service(process, URL(found[1]), http, canary)


@pytest.fixture
def browser(service):
    """A browser that is logged in."""

    async def opened(tenant: str = "acme") -> Browser:
        browser = Browser(service)
        assert await browser.visit(f"/login/{tenant}") == (200, {"tenant": tenant})
        return browser

    return opened


def landing(callback: str) -> str:
    """The callback as the service receives it."""
    return "/callback?" + URL(callback).raw_query_string


async def test_a_user_connects_and_reads_orders(sandbox, browser) -> None:
    """From the connect link to the orders, in one browser; the callback works once."""
    acme = await browser()
    unconnected = {"reason": "never_connected", "connect": "/connect"}
    assert await acme.visit("/orders") == (409, unconnected)
    _, link = await acme.visit("/connect")
    path = landing(await sandbox.approve(link))
    assert await acme.visit(path) == (200, {"tenant": "acme", "standing": "connected"})
    status, orders = await acme.visit("/orders")
    assert (status, len(orders), orders[0]["OrderNumber"]) == (200, 10, "Acme-1")
    again = {"reason": "reused", "connect": "/connect"}
    assert await acme.visit(path) == (400, again)


async def test_a_tenant_chooses_one_of_its_companies(sandbox, browser) -> None:
    """Its PartyID goes with the calls; what is no number is no company."""
    acme = await browser()
    _, link = await acme.visit("/connect")
    assert (await acme.visit(landing(await sandbox.approve(link))))[0] == 200
    _, companies = await acme.visit("/companies")
    assert [company["Name"] for company in companies] == ["Acme"]
    party_id = companies[0]["PartyID"]
    status, orders = await acme.visit(f"/companies/{party_id}/orders")
    assert (status, len(orders)) == (200, 10)
    assert sandbox.ledger.api_calls[-1].party_id == str(party_id)
    assert (await acme.visit("/companies/x/orders"))[0] == 404


async def test_a_callback_belongs_to_the_browser_that_started(sandbox, browser) -> None:
    """Another browser gets nothing for it, whoever is logged in there."""
    foreign = {"reason": "foreign", "connect": "/connect"}
    for victim in ("acme", "globex"):
        attacker, other = await browser("acme"), await browser(victim)
        _, link = await attacker.visit("/connect")
        path = landing(await sandbox.approve(link))
        assert await other.visit(path) == (400, foreign)
    assert sandbox.ledger.exchanges == 0


async def test_whoever_logs_in_anew_does_not_finish_for_the_last(
    sandbox, browser
) -> None:
    """The state of a tenant is gone when the next one logs in."""
    shared = await browser("acme")
    _, link = await shared.visit("/connect")
    await shared.visit("/login/globex")
    foreign = {"reason": "foreign", "connect": "/connect"}
    assert await shared.visit(landing(await sandbox.approve(link))) == (400, foreign)


async def test_nobody_is_let_in_without_a_log_in(service) -> None:
    """Neither to a connect link nor to orders."""
    stranger = Browser(service)
    for path in ("/connect", "/callback?code=x&state=y", "/orders"):
        assert await stranger.visit(path) == (401, "log in first")


async def test_a_user_who_denies_is_told(sandbox, browser) -> None:
    """The code says that it was their own choice."""
    acme = await browser()
    _, link = await acme.visit("/connect")
    denied = {"reason": "access_denied", "connect": "/connect"}
    assert await acme.visit(landing(await sandbox.deny(link))) == (400, denied)


async def test_an_outage_in_the_middle_of_a_callback_is_waited_out(
    sandbox, browser
) -> None:
    """The user reloads the very same page, and is connected."""
    acme = await browser()
    _, link = await acme.visit("/connect")
    path = landing(await sandbox.approve(link))
    sandbox.script.add(faults.status(503, retry_after=7, grant_type=None))
    assert (await acme.visit(path))[0] == 503
    assert (await acme.visit(path))[0] == 200


async def test_errors_are_told_by_whose_move_is_next(sandbox, browser, connect) -> None:
    """503 to wait, 502 for the API's own trouble, 409 for the user."""
    await connect("acme")
    acme = await browser()
    sandbox.script.add(faults.api_status(500))
    trouble = {"reason": "Billit: ClientResponseError"}
    assert await acme.visit("/orders") == (502, trouble)
    sandbox.script.expire_now()
    spell = sandbox.script.add(faults.spell(503))
    status, answer = await acme.visit("/orders")
    assert (status, *answer) == (503, "retry_after")
    sandbox.script.remove(spell)
    sandbox.script.revoke("acme")
    await connect("globex")
    globex = await browser("globex")
    sandbox.script.revoke("globex")
    revoked = {"reason": "revoked", "connect": "/connect"}
    assert await globex.visit("/orders") == (409, revoked)


async def test_what_is_wrong_with_the_service_is_no_fault_of_billits(
    browser, service, tmp_path
) -> None:
    """A broken store is a 500 with a traceback for the operator, and not a 502."""
    acme = await browser()
    for path in tmp_path.glob("tokens.db*"):
        path.write_bytes(b"not a database" * 500)
    assert (await acme.visit("/orders"))[0] == 500
    said = await service.stop()
    assert "StoreError" in said


async def test_five_hundred_tenants_get_their_own_orders(
    sandbox, browser, connect
) -> None:
    """Every token has expired; each is refreshed once, and nobody sees another's."""
    await connect(*TENANTS)
    sandbox.script.expire_now()
    gate = asyncio.Semaphore(AT_ONCE)

    async def first_orders(tenant: str) -> Counter[str]:
        async with gate:
            own = await browser(tenant)
            answers = await asyncio.gather(*(own.visit("/orders") for _ in range(3)))
        return Counter(orders[0]["OrderNumber"] for _, orders in answers)

    seen = await asyncio.gather(*map(first_orders, TENANTS))
    assert seen == [Counter({f"{tenant}-1": 3}) for tenant in TENANTS]
    ledger = sandbox.ledger
    assert (ledger.refreshes, ledger.reuse, ledger.failed) == (len(TENANTS), 0, 0)


@pytest.mark.parametrize(
    "good_for",
    [
        pytest.param(0.0, id="whose-caller-has-hung-up"),
        pytest.param(3.0, id="that-nobody-waits-for"),
    ],
)
async def test_stopping_in_the_middle_of_a_refresh_loses_no_rotation(
    sandbox, browser, connect, service, registration, store, good_for
) -> None:
    """SIGTERM has come, and the new token is stored still."""
    await connect("acme", good_for=good_for)
    acme = await browser()
    sandbox.settings.token_delay = 1.0
    while sandbox.ledger.total.token_requests == 0:
        # A stale token serves, while a refresh starts in the background.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.2):
                await acme.visit("/orders")
    said = await service.stop()
    assert "Application shutdown complete" in said
    assert "Traceback" not in said
    async with (
        Client(registration, store=store) as client,
        client.session("billit", "acme").get("/v1/whoami") as response,
    ):
        told = await response.json()
    assert (response.status, told["token_generation"]) == (200, 1)
    assert (sandbox.ledger.refreshes, sandbox.ledger.reuse) == (1, 0)
