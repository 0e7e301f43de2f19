"""Mode 18: the API says in its own way that a token has ended, and nobody hears it.

Promised: each provider's signals are data, by status, challenge and JSON member; bodies
are looked at only where they are small errors, and the caller can still read them; an
answer that does not prove that nothing was done has no unsafe request sent again.
"""

from __future__ import annotations

import json

import pytest
from attrs import evolve

from everbearer import AuthorizationRequired, providers
from everbearer.events import ResendRefused
from everbearer.providers import ExpirySignal, Provider, Verdict
from everbearer.sandbox import faults

pytestmark = pytest.mark.asyncio


def signal(*path, value=None, status=None, challenge=None, proves=False):
    """What a provider's description might say."""
    return ExpirySignal(
        Verdict.EXPIRED,
        frozenset() if status is None else frozenset({status}),
        challenge,
        path,
        frozenset() if value is None else frozenset({value}),
        proves_unprocessed=proves,
    )


SEEN = {
    "RFC 6750": (signal(status=401, challenge="invalid_token", proves=True),),
    "a bare 401": (signal(status=401),),
    "a bare 403": (signal(status=403),),
    "500 with a number": (signal("ErrorCode", value="99", status=500),),
    "400 with a message": (signal("message", value="token is expired", status=400),),
    "a detail anywhere": (signal("Detail", value="TokenExpired"),),
    "a fault with 200": (signal("fault", "code", value="expired", status=200),),
    "in a list": (signal("errors", "*", "type", value="auth", status=422),),
}
SHIPPED = {
    f"{each.name} {number}": (each.expiry_signals[number],)
    for each in vars(providers).values()
    if isinstance(each, Provider)
    for number in range(len(each.expiry_signals))
}


def document(path, value):
    """JSON that has *value* at *path*, and more around it."""
    for name in reversed(path):
        value = [value, None] if name == "*" else {name: value, "more": "…"}
    return json.dumps(value)


def says(signal, **fault):
    """The answer that *signal* is about."""
    headers = {"Content-Type": "application/json; charset=utf-8"}
    if signal.www_authenticate_error:
        headers["WWW-Authenticate"] = (
            f'Basic realm="a, b", Bearer error="{signal.www_authenticate_error}"'
        )
    answer = faults.api_status(
        min(signal.statuses, default=500),
        body=document(signal.json_path, min(signal.values, default="something")),
        **fault,
    )
    return evolve(answer, headers=headers)


@pytest.mark.parametrize(
    "signals", {**SEEN, **SHIPPED}.values(), ids={**SEEN, **SHIPPED}
)
async def test_each_signal(scene, whoami, signals):
    """One refresh and a good answer; or the user, where the grant is over."""
    acme = await scene.acme(expiry_signals=signals)
    scene.sandbox.script.add(says(signals[0]))
    if signals[0].verdict is Verdict.REVOKED:
        with pytest.raises(AuthorizationRequired) as caught:
            await whoami(acme)
        assert caught.value.reason == "revoked"
        assert not scene.ledger.token_requests
    else:
        assert await whoami(acme) == "acme"
        assert len(scene.ledger.token_requests) == 1
        assert scene.ledger.calls == 2


NO_SIGNALS = {
    "another code": faults.api_status(
        500, body=document(("errors", "*", "Code"), "OutOfStock")
    ),
    "a code with 200": faults.api_status(
        200, body=document(("errors", "*", "Code"), "AccessTokenExpired")
    ),
    "too large": faults.api_status(
        400,
        body=document(("errors", "*", "Code"), "AccessTokenExpired"),
        size=100_000,
    ),
    "a bare 401": faults.api_status(401),
}


@pytest.mark.parametrize("fault", NO_SIGNALS.values(), ids=NO_SIGNALS)
async def test_what_is_no_signal_is_the_callers(scene, fault):
    """Looked at or not, it arrives whole, and costs no token."""
    acme = await scene.acme()
    fault = evolve(fault, headers={"Content-Type": "application/json"})
    scene.sandbox.script.add(fault)
    async with acme.get("/v1/whoami") as response:
        assert response.status == fault.status
        assert await response.read() == fault.body.ljust(fault.size)
    assert scene.ledger.calls == 1
    assert not scene.ledger.token_requests


async def test_what_may_have_been_done_is_not_done_again(scene, whoami):
    """A POST that was answered 500: the caller's answer, and a new token for later."""
    (expired,) = SEEN["500 with a number"]
    acme = await scene.acme(expiry_signals=(expired,))
    scene.sandbox.script.add(says(expired))
    async with acme.post("/v1/orders", json={}) as response:
        assert response.status == 500
        assert (await response.json())["ErrorCode"] == "99"
    assert [event.why for event in scene.told(ResendRefused)] == ["unsafe"]
    assert scene.ledger.calls == 1
    assert await whoami(acme) == "acme"
    assert scene.ledger.refreshes == 1


async def test_what_the_provider_recognises_is_sent_again(scene):
    """The same POST with the provider's idempotency header is made once."""
    (expired,) = SEEN["500 with a number"]
    acme = await scene.acme(expiry_signals=(expired,))
    scene.sandbox.script.add(says(expired))
    headers = {"Idempotency-Key": "order 1"}
    async with acme.post("/v1/orders", json={}, headers=headers) as response:
        assert response.status == 201
    assert scene.ledger.calls == 2
