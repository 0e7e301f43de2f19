"""Each fault does what its constructor says: how often, to whom, and with what."""

from __future__ import annotations

import asyncio
import time

import pytest

from everbearer.sandbox import faults

pytestmark = pytest.mark.asyncio


@pytest.fixture(name="pair")
def _pair(sandbox):
    """A grant of acme's."""
    return sandbox.issue("acme")


def fired(sandbox):
    """The kinds in the ledger, in order."""
    return [each.kind for each in sandbox.ledger.faults]


# ---- the token endpoint


TOKEN_FAULTS = {
    # fault: status, refreshes, the body's beginning
    "rotate-and-drop": (faults.rotate_and_drop(), 0, 1, b""),
    "drop-before": (faults.drop_before(), 0, 0, b""),
    "status": (faults.status(502, body="bad gateway"), 502, 0, b"bad gateway"),
    "status-rotates": (faults.status(500, rotates=True), 500, 1, b""),
    "html": (faults.html_200(), 200, 0, b"<!doctype html>"),
    "html-rotates": (faults.html_200(rotates=True), 200, 1, b"<!doctype html>"),
    "truncated": (faults.truncated_json(), 200, 1, b'{"token_type": "Bearer"'),
    "truncated-invention": (
        faults.truncated_json(rotates=False),
        200,
        0,
        b'{"token_type":"Bearer"',
    ),
    "slow": (faults.slow(0.01), 200, 1, b'{"token_type": "Bearer"'),
    "slow-after": (faults.slow(0.01, rotates="after"), 200, 1, b'{"token_type"'),
    "answer": (faults.answer(b"[]", status=418), 418, 0, b"[]"),
    "answer-rotates": (faults.answer("null", rotates=True), 200, 1, b"null"),
    "no-access-token": (faults.missing_access_token(), 200, 0, b'{"token_type"'),
    "no-access-token-rotates": (
        faults.missing_access_token(rotates=True),
        200,
        1,
        b'{"token_type"',
    ),
    "error-with-200": (
        faults.error_with_200("invalid_client"),
        200,
        0,
        b'{"error": "invalid_client"}',
    ),
    "huge": (faults.huge(200_000), 200, 0, b'{"padding":"xxx'),
    "spell": (faults.spell(), 503, 0, b""),
}


@pytest.mark.parametrize("row", TOKEN_FAULTS.values(), ids=TOKEN_FAULTS)
async def test_token_fault(sandbox, caller, pair, row):
    """Status, body, and whether the token was rotated, are what was asked for."""
    fault, status, refreshes, begins = row
    sandbox.script.add(fault)
    answer = await caller.refresh(pair.refresh_token)
    assert answer.status == status
    assert answer.body.startswith(begins)
    assert sandbox.ledger.refreshes == refreshes
    assert fired(sandbox) == [fault.kind]
    request = sandbox.ledger.token_requests[-1]
    assert (request.fault, request.status) == (fault.kind, status or None)


async def test_token_faults_are_all_in_the_table():
    """A constructor without a row above would be untested."""
    tested = {fault.kind.split()[0] for fault, *_ in TOKEN_FAULTS.values()}
    of_the_api = {"early_401", "refuse", "api_status", "api_slow", "api_drop"}
    assert tested | of_the_api == set(faults.BY_NAME)


async def test_truncated_json(sandbox, caller, pair):
    """The document breaks off before the refresh token is told."""
    sandbox.script.add(faults.truncated_json())
    answer = await caller.refresh(pair.refresh_token)
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.body.startswith(b"{")
    assert not answer.body.endswith(b"}")
    new = sandbox.grants.current("acme")
    assert new.refresh_token.encode() not in answer.body


async def test_missing_access_token(sandbox, caller, pair):
    """The rest of a true answer is true: its refresh token works."""
    sandbox.script.add(faults.missing_access_token(rotates=True))
    rest = (await caller.refresh(pair.refresh_token)).document
    assert set(rest) == {"token_type", "expires_in", "refresh_token"}
    assert (await caller.refresh(rest["refresh_token"])).status == 200


@pytest.mark.parametrize("size", [100_000, 1_000_001])
async def test_huge(sandbox, caller, pair, size):
    """As many bytes as asked for, of valid JSON."""
    sandbox.script.add(faults.huge(size))
    answer = await caller.refresh(pair.refresh_token)
    assert len(answer.body) == size
    assert list(answer.document) == ["padding"]


@pytest.mark.parametrize("wait", [None, 7, "Wed, 21 Oct 2015 07:28:00 GMT"], ids=str)
@pytest.mark.parametrize("make", [faults.status, faults.spell])
async def test_retry_after(sandbox, caller, pair, make, wait):
    """Retry-After in seconds or as a date, or none."""
    sandbox.script.add(make(429, retry_after=wait))
    answer = await caller.refresh(pair.refresh_token)
    assert answer.headers.get("Retry-After") == (None if wait is None else str(wait))


async def test_headers_of_an_answer(sandbox, caller, pair):
    """Any header can be sent; JSON is the default content type."""
    sandbox.script.add(faults.answer("{}", headers={"X-Trace": "1"}))
    headers = (await caller.refresh(pair.refresh_token)).headers
    assert (headers["X-Trace"], headers["Content-Type"]) == ("1", "application/json")


@pytest.mark.parametrize(
    ("rotates", "at_once"), [("before", 1), ("after", 0)], ids=["before", "after"]
)
async def test_slow(sandbox, caller, pair, rotates, at_once):
    """The answer is late; whether the rotation is, is for the script to say."""
    sandbox.script.add(faults.slow(0.1, rotates=rotates))
    begun = await caller.begin(pair.refresh_token)
    assert sandbox.ledger.refreshes == at_once
    await begun.answered()
    assert sandbox.ledger.refreshes == 1


async def test_slow_for_good(sandbox, caller, pair):
    """Both the fault's delay and the settings' pass before the answer."""
    sandbox.settings.token_delay = 0.03
    sandbox.script.add(faults.slow(0.03))
    started = time.monotonic()
    assert (await caller.refresh(pair.refresh_token)).status == 200
    assert time.monotonic() - started >= 0.059


async def test_only_exchanges(sandbox, caller, pair):
    """A fault for one grant type leaves the other alone."""
    sandbox.script.add(faults.spell(grant_type="authorization_code"))
    assert (await caller.refresh(pair.refresh_token)).status == 200
    code = sandbox.grants.new_code("acme", sandbox.settings.client_id, "http://[::1]/")
    assert (await caller.exchange(code, "http://[::1]/")).status == 503
    assert sandbox.ledger.exchanges == 0


# ---- the API


@pytest.mark.parametrize(
    ("fault", "status", "body"),
    [
        (faults.refuse(), 401, b"AccessTokenExpired"),
        (faults.refuse("InvalidAccessToken", status=403), 403, b"InvalidAccessToken"),
        (faults.refuse(size=100_000), 401, b"AccessTokenExpired"),
        (faults.early_401(), 401, b"AccessTokenExpired"),
        (faults.early_401(code="AccessTokenRevoked"), 401, b"AccessTokenRevoked"),
        (faults.api_status(503, retry_after=1, body="busy"), 503, b"busy"),
        (faults.api_status(200, body="{}"), 200, b"{}"),
        (faults.api_slow(0.01), 200, b"sha256"),
        (faults.api_drop(), 0, b""),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
async def test_api_fault(sandbox, caller, pair, fault, status, body):
    """Status and body are what was asked for, whatever the token; once."""
    sandbox.script.add(fault)
    # aiohttp itself sends a GET again whose connection was closed.
    answer = await caller.send("POST", "/v1/echo", pair.access_token)
    assert answer.status == status
    assert body in answer.body
    assert len(answer.body) >= fault.size
    assert fired(sandbox) == [fault.kind]
    again = await caller.send("POST", "/v1/echo", pair.access_token)
    assert again.status == 200


async def test_a_claimed_refusal_is_still_json(sandbox, caller, pair):
    """Padding does not spoil the document."""
    sandbox.script.add(faults.refuse(size=70_000))
    answer = await caller.get("/v1/whoami", pair.access_token)
    assert (len(answer.body), answer.code) == (70_000, "AccessTokenExpired")


async def test_refusals_and_failures_apart(sandbox, caller, pair):
    """A refusal is one for its token at any status; a failure is all the rest."""
    sandbox.script.add(faults.refuse(status=403))
    sandbox.script.add(faults.api_status(401))
    sandbox.script.add(faults.api_status(500))
    for _ in range(4):
        await caller.get("/v1/whoami", pair.access_token)
    ledger = sandbox.ledger
    assert (ledger.calls, ledger.refused, ledger.failed) == (4, 1, 2)
    assert ledger.unauthorized == 1
    assert ledger.statuses == {200: 1, 401: 1, 403: 1, 500: 1}


@pytest.mark.parametrize(
    ("match", "hit"),
    [
        ({}, [0, 1, 2]),
        ({"method": "POST"}, [1]),
        ({"path": "/v1/orders"}, [2]),
        ({"path": "/v1/orders/"}, []),
        ({"company": "acme"}, [0, 1, 2]),
        ({"company": "other"}, []),
        ({"method": "POST", "path": "/v1/orders"}, []),
    ],
    ids=str,
)
async def test_which_requests(sandbox, caller, pair, match, hit):
    """A fault fires for what it matches, and for nothing else."""
    sandbox.script.add(faults.api_status(418, times=None, **match))
    calls = [("GET", "/v1/whoami"), ("POST", "/v1/echo"), ("GET", "/v1/orders?$top=1")]
    seen = [
        (await caller.send(method, path, pair.access_token)).status
        for method, path in calls
    ]
    assert [n for n, status in enumerate(seen) if status == 418] == hit


async def test_token_faults_leave_the_api_alone(sandbox, caller, pair):
    """And the other way round."""
    sandbox.script.add(faults.spell())
    assert (await caller.get("/v1/whoami", pair.access_token)).status == 200
    sandbox.script.clear()
    sandbox.script.add(faults.api_status(500))
    assert (await caller.refresh(pair.refresh_token)).status == 200


# ---- the script


async def test_order_and_times(sandbox, caller, pair):
    """Faults fire in the order they were added, each as often as it says."""
    sandbox.script.add(faults.api_status(500, times=2))
    sandbox.script.add(faults.api_status(502))
    forever = sandbox.script.add(faults.api_status(503, times=None))
    seen = [await _status(caller, pair) for _ in range(6)]
    assert seen == [500, 500, 502, 503, 503, 503]
    sandbox.script.remove(forever)
    sandbox.script.remove(forever)
    assert await _status(caller, pair) == 200
    assert sandbox.script.planned == []
    assert len(fired(sandbox)) == 6


async def test_clear(sandbox, caller, pair):
    """Nothing fires any more."""
    sandbox.script.add(faults.api_status(500, times=None))
    sandbox.script.add(faults.api_status(502))
    sandbox.script.clear()
    assert await _status(caller, pair) == 200
    assert fired(sandbox) == []


@pytest.mark.parametrize("times", [0, -1])
async def test_times_have_to_make_sense(times):
    """A fault that never fires is a mistake in a test."""
    with pytest.raises(ValueError, match="times"):
        faults.drop_before(times=times)


async def test_at_once(sandbox, caller, pair):
    """A fault for one request hits one, however many come together."""
    sandbox.settings.api_delay = 0.02
    sandbox.script.add(faults.api_status(500))
    seen = await asyncio.gather(*(_status(caller, pair) for _ in range(5)))
    assert sorted(seen) == [200, 200, 200, 200, 500]


async def _status(caller, pair):
    return (await caller.get("/v1/whoami", pair.access_token)).status
