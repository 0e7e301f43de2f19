"""The sandbox's own routes, its settings, and its life."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest

from everbearer.sandbox import Sandbox, Settings, faults, run

pytestmark = pytest.mark.asyncio


@pytest.fixture(name="post")
def _post(caller):
    """Post JSON to a control route."""

    async def post(route, content):
        return await caller("POST", f"/_sandbox/{route}", json=content)

    return post


# ---- settings


async def test_settings_over_http(sandbox, caller, post):
    """Fields can be read and changed; secrets are never told."""
    answer = await post("settings", {"access_lifetime": 2, "old_access_dies": True})
    assert answer.status == 200
    assert answer.document["access_lifetime"] == 2
    assert sandbox.settings.old_access_dies is True
    read = (await caller("GET", "/_sandbox/settings")).document
    assert read == answer.document
    assert not {"client_secret", "other_clients"} & set(read)


async def test_secret_can_be_set(sandbox, caller, post):
    """It can be changed, and is not in the answer."""
    answer = await post("settings", {"client_secret": "a brand new secret"})
    assert answer.status == 200
    assert b"a brand new secret" not in answer.body
    pair = sandbox.issue("acme")
    assert (await caller.refresh(pair.refresh_token)).status == 200


WRONG = {
    "unknown": {"lifetime": 1},
    "private": {"__class__": 1},
    "text-for-number": {"access_lifetime": "2"},
    "negative-delay": {"token_delay": -1},
    "nan": {"api_delay": float("nan")},
    "endless": {"access_lifetime": float("inf")},
    "rotation": {"rotation": "weekly"},
    "replay-answer": {"replay_answer": "old"},
    "number-for-flag": {"reuse_revokes": 1},
    "half-an-order": {"orders_per_account": 1.5},
    "no-error": {"refusal_status": 200},
    "secret": {"client_secret": None},
    "clients": {"other_clients": ["a"]},
    "redirects": {"redirect_uris": "https://app.example/callback"},
    "redirect": {"redirect_uris": [1]},
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
async def test_all_or_none(sandbox, post, wrong):
    """A change of which one part is wrong changes nothing."""
    before = repr(sandbox.settings)
    changes = {"refusal_size": 7, **wrong, "early_refusals": True}
    answer = await post("settings", changes)
    assert answer.status == 400
    assert answer.document["error"]
    assert repr(sandbox.settings) == before
    with pytest.raises((AttributeError, TypeError, ValueError)):
        sandbox.settings.change(wrong)


async def test_settings_in_process():
    """The constructor and an assignment are as strict as a change is."""
    with pytest.raises(TypeError):
        Settings(acess_lifetime=2)
    with pytest.raises(TypeError):
        Sandbox(settings=Settings(), access_lifetime=2)
    settings = Settings()
    with pytest.raises(ValueError, match="rotation"):
        settings.rotation = "weekly"
    assert settings.rotation == "every_use"


async def test_settings_have_no_secret_in_their_repr():
    """Nor have the clients."""
    settings = Settings(client_secret="secret-1", other_clients={"b": "secret-2"})
    assert "secret-1" not in repr(settings)
    assert "secret-2" not in repr(settings)
    assert (settings.client("b"), settings.client("c")) == ("secret-2", None)


# ---- script, ledger, issue


async def test_fault_over_http(sandbox, caller, post):
    """A fault is planned by the name and the arguments of its constructor."""
    answer = await post("script", {"fault": "status", "status": 502, "body": "no"})
    assert answer.document == {"id": 1}
    assert sandbox.script.planned == [faults.status(502, body="no")]
    pair = sandbox.issue("acme")
    assert (await caller.refresh(pair.refresh_token)).status == 502


async def test_remove_and_clear(sandbox, post):
    """What was planned is taken back, one or all."""
    first = (await post("script", {"fault": "spell"})).document["id"]
    await post("script", {"fault": "drop_before", "company": "acme", "times": 2})
    await post("script", {"action": "remove", "id": first})
    assert [each.kind for each in sandbox.script.planned] == ["drop_before"]
    await post("script", {"action": "clear"})
    assert sandbox.script.planned == []


@pytest.mark.parametrize(
    ("action", "code"),
    [
        ("expire_now", "AccessTokenExpired"),
        ("invalidate_now", "InvalidAccessToken"),
        ("revoke", "AccessTokenRevoked"),
    ],
)
async def test_action_over_http(sandbox, caller, post, action, code):
    """The script's methods are actions, for one company."""
    mine, other = (sandbox.issue(each).access_token for each in ("acme", "other"))
    assert (await post("script", {"action": action, "company": "acme"})).status == 200
    assert (await caller.get("/v1/whoami", mine)).code == code
    assert (await caller.get("/v1/whoami", other)).status == 200


async def test_killed_over_http(sandbox, caller, post):
    """How many answers died with the process comes back."""
    await caller.refresh(sandbox.issue("acme").refresh_token)
    answer = await post("script", {"action": "killed", "what": "worker 1"})
    assert answer.document == {"result": 1}


ORDERS = {
    "list": [],
    "nothing": {},
    "unknown-fault": {"fault": "earthquake"},
    "fault-of-another-kind": {"fault": ["spell"]},
    "unknown-argument": {"fault": "spell", "whom": "acme"},
    "wrong-status": {"fault": "status", "status": "503"},
    "no-status": {"fault": "status"},
    "no-seconds": {"fault": "slow", "seconds": "long"},
    "wrong-body": {"fault": "answer", "body": 5},
    "never": {"fault": "spell", "times": 1},
    "zero-times": {"fault": "drop_before", "times": 0},
    "unknown-action": {"action": "explode"},
    "private-action": {"action": "_fire"},
    "action-without-company": {"action": "revoke"},
    "action-with-more": {"action": "expire_now", "who": "acme"},
    "clear-with-more": {"action": "clear", "company": "acme"},
}


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
async def test_order_that_makes_no_sense(sandbox, post, order):
    """It is refused in words, and nothing is planned or done."""
    answer = await post("script", order)
    assert answer.status == 400
    assert answer.document["error"]
    assert sandbox.script.planned == []
    assert not sandbox.ledger.faults


@pytest.mark.parametrize("route", ["settings", "script", "issue"])
async def test_no_json(caller, route):
    """What is not a JSON object is refused."""
    for body in (b"", b"{", b"[]", b"\xff"):
        answer = await caller("POST", f"/_sandbox/{route}", data=body)
        assert answer.status == 400


async def test_issue(sandbox, caller, post):
    """A grant without the login page; both its tokens are good."""
    pair = (await post("issue", {"company": "acme"})).document
    assert pair["expires_in"] == sandbox.settings.access_lifetime
    assert (await caller.get("/v1/whoami", pair["access_token"])).status == 200
    assert (await caller.refresh(pair["refresh_token"])).status == 200
    for wrong in ({}, {"company": ""}, {"company": 1}):
        assert (await post("issue", wrong)).status == 400


async def test_ledger_over_http(sandbox, caller):
    """The summary has the figures, and what explains them."""
    pair = sandbox.issue("acme")
    sandbox.script.add(faults.drop_before())
    for _ in range(3):
        await caller.refresh(pair.refresh_token)
    await caller.get("/v1/whoami", pair.access_token)
    told = (await caller("GET", "/_sandbox/ledger")).document
    assert told == json.loads(json.dumps(sandbox.ledger.summary()))
    for figures in (told["total"], told["companies"]["acme"]):
        assert figures["refreshes"] == figures["reuse"] == 1
        assert figures["last_resorts"] == figures["lost_grants"] == 1
        assert (figures["token_requests"], figures["calls"]) == (3, 1)
        assert not [name for name in figures if name.startswith("_")]
    assert told["statuses"] == {"401": 1}
    assert told["lost"] == [{"company": "acme", "cause": "reuse"}]
    assert told["last_resorts"] == [
        {"company": "acme", "cause": "drop_before", "honoured": True}
    ]
    assert told["faults"] == [{"kind": "drop_before", "company": "acme", "times": 1}]


async def test_asking_for_a_company_does_not_make_one(sandbox):
    """A company that was never seen has only zeros, and is in no summary."""
    assert sandbox.ledger.company("nobody").calls == 0
    assert sandbox.ledger.summary()["companies"] == {}


async def test_no_secret_is_shown(sandbox, caller):
    """No token, code or secret in any repr, nor in the summary."""
    sandbox.settings.client_secret = "a-secret-of-the-client"
    pair = sandbox.issue("acme")
    code = sandbox.grants.new_code("acme", sandbox.settings.client_id, "http://[::1]/")
    sandbox.script.add(faults.answer(f'{{"echo":"{pair.refresh_token}"}}'))
    await caller.get("/v1/whoami", pair.access_token)
    shown = [repr(sandbox.script.planned)]
    first = await caller.refresh(pair.refresh_token)
    second = (await caller.refresh(pair.refresh_token)).document
    await caller.exchange(code, "http://[::1]/")
    ledger, grants = sandbox.ledger, sandbox.grants
    shown += map(
        repr,
        (
            pair,
            sandbox,
            sandbox.settings,
            sandbox.script,
            ledger,
            ledger.total,
            list(ledger.token_requests),
            list(ledger.api_calls),
            grants,
            list(grants.of(None)),
            grants.current("acme"),
            grants.code(code),
            grants.refresh_token(pair.refresh_token),
            grants.judge(f"Bearer {pair.access_token}"),
        ),
    )
    shown.append(json.dumps(ledger.summary()))
    secrets = [
        "a-secret-of-the-client",
        pair.access_token,
        pair.refresh_token,
        code,
        second["access_token"],
        second["refresh_token"],
    ]
    assert pair.refresh_token.encode() in first.body
    for text in shown:
        assert not [n for n, secret in enumerate(secrets) if secret in text]


# ---- its life


async def test_aclose_twice():
    """Closing twice is fine; afterwards nobody listens."""
    sandbox = Sandbox()
    assert repr(sandbox) == "<Sandbox: not started>"
    await sandbox.start()
    url = sandbox.url
    assert url in repr(sandbox)
    await sandbox.aclose()
    await sandbox.aclose()
    async with aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.ClientConnectorError):
            await http.get(url)


async def test_port_taken():
    """Nothing is left listening if a port cannot be had."""
    async with Sandbox() as first:
        port = int(first.url.rpartition(":")[2])
        with pytest.raises(OSError, match="address"):
            await Sandbox(port=port).__aenter__()


async def test_run():
    """It serves until cancelled, and tells when it is ready."""
    ready = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(run(ready=ready.set_result, access_lifetime=2))
    sandbox = await asyncio.wait_for(ready, 5)
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{sandbox.url}/_sandbox/settings") as answer,
    ):
        assert (await answer.json())["access_lifetime"] == 2
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_closed_while_calls_are_under_way():
    """A call that outlives the sandbox ends with its connection."""
    async with Sandbox(api_delay=30) as sandbox, aiohttp.ClientSession() as http:
        pending = asyncio.create_task(http.post(f"{sandbox.url}/v1/echo"))
        while not pending.done() and not http.connector._acquired:
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.02)
        await sandbox.aclose()
        with pytest.raises(aiohttp.ClientError):
            await asyncio.wait_for(pending, 5)
