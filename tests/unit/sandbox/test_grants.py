"""What the settings say of lifetimes, rotation, replay windows and codes."""

from __future__ import annotations

import asyncio

import pytest
from attrs import frozen

pytestmark = pytest.mark.asyncio

REDIRECT = "http://127.0.0.1:9/callback"


@frozen
class Whose:
    """A caller with one grant of acme's."""

    caller: object
    first: str

    async def refresh(self, token=None):
        """Refresh, and return the new pair."""
        answer = await self.caller.refresh(token or self.first)
        assert answer.status == 200
        return answer.document

    async def says(self, access_token):
        """What the API says to *access_token*."""
        answer = await self.caller.get("/v1/whoami", access_token)
        return "good" if answer.status == 200 else answer.code


@pytest.fixture(name="acme")
def _acme(sandbox, caller):
    """A grant whose refresh token is unspent."""
    return Whose(caller, sandbox.issue("acme").refresh_token)


def replayed(sandbox):
    """Replays, reuse and lost grants."""
    return sandbox.ledger.replays, sandbox.ledger.reuse, sandbox.ledger.lost_grants


# ---- access tokens


@pytest.mark.parametrize(
    ("passed", "says"),
    [(9.999, "good"), (10.0, "AccessTokenExpired"), (1e6, "AccessTokenExpired")],
)
async def test_expiry(sandbox, acme, clock, passed, says):
    """A token ends when its lifetime is over, and not before."""
    sandbox.settings.access_lifetime = 10
    pair = await acme.refresh()
    clock.now += passed
    assert pair["expires_in"] == 10
    assert await acme.says(pair["access_token"]) == says


async def test_changed_lifetime(sandbox, acme, clock):
    """A token keeps the lifetime that it was issued with."""
    old = await acme.refresh()
    sandbox.settings.access_lifetime = 0.5
    new = await acme.refresh(old["refresh_token"])
    assert new["expires_in"] == 0.5
    clock.now += 1
    assert await acme.says(old["access_token"]) == "good"
    assert await acme.says(new["access_token"]) == "AccessTokenExpired"


@pytest.mark.parametrize(
    ("dies", "says"), [(False, "good"), (True, "InvalidAccessToken")], ids=str
)
async def test_old_access_token(sandbox, acme, dies, says):
    """At some providers a refresh ends the access token before it."""
    sandbox.settings.old_access_dies = dies
    old = await acme.refresh()
    new = await acme.refresh(old["refresh_token"])
    assert await acme.says(old["access_token"]) == says
    assert await acme.says(new["access_token"]) == "good"


@pytest.mark.parametrize(
    ("action", "says"),
    [("expire_now", "AccessTokenExpired"), ("invalidate_now", "InvalidAccessToken")],
)
@pytest.mark.parametrize("company", ["acme", None])
async def test_ended_by_the_script(sandbox, caller, acme, action, says, company):
    """What was issued ends now; what a refresh brings is good; others live on."""
    other = sandbox.issue("other").access_token
    old = await acme.refresh()
    getattr(sandbox.script, action)(company)
    new = await acme.refresh(old["refresh_token"])
    assert await acme.says(old["access_token"]) == says
    assert await acme.says(new["access_token"]) == "good"
    assert await acme.says(other) == ("good" if company else says)


async def test_issued_expired(sandbox, acme):
    """A grant can be made whose access token is old and whose refresh token is not."""
    pair = sandbox.issue("old", access_expired=True)
    assert await acme.says(pair.access_token) == "AccessTokenExpired"
    new = await acme.refresh(pair.refresh_token)
    assert await acme.says(new["access_token"]) == "good"


async def test_generations(sandbox, caller, acme):
    """Each refresh counts its grant's tokens up; each grant has a number."""
    for generation in (1, 2):
        pair = sandbox.grants.current("acme")
        await acme.refresh(pair.refresh_token)
        token = sandbox.grants.current("acme").access_token
        told = (await caller.get("/v1/whoami", token)).document
        assert told == {"company": "acme", "token_generation": generation, "grant": 1}
    with pytest.raises(LookupError):
        sandbox.grants.current("nobody")


# ---- rotation


@pytest.mark.parametrize(
    ("rotation", "changes"),
    [
        ("every_use", [True, True, True, True]),
        ("sometimes", [False, True, False, True]),
        ("never", [False, False, False, False]),
    ],
)
async def test_rotation(sandbox, acme, rotation, changes):
    """The refresh token changes as the settings say, and nothing of it is reuse."""
    sandbox.settings.rotation = rotation
    token, seen = acme.first, []
    for _ in changes:
        pair = await acme.refresh(token)
        seen.append(pair["refresh_token"] != token)
        token = pair["refresh_token"]
        assert await acme.says(pair["access_token"]) == "good"
    assert seen == changes
    assert sandbox.ledger.refreshes == len(changes)
    assert (sandbox.ledger.reuse, sandbox.ledger.last_resort) == (0, 0)


async def test_a_token_that_never_rotates(sandbox, caller, acme):
    """It may be presented at the same time as often as anyone likes."""
    sandbox.settings.rotation = "never"
    sandbox.settings.token_delay = 0.02
    answers = await asyncio.gather(*(caller.refresh(acme.first) for _ in range(5)))
    assert {each.status for each in answers} == {200}
    assert (sandbox.ledger.refreshes, sandbox.ledger.reuse) == (5, 0)


async def test_spent_where_it_rotates_sometimes(sandbox, caller, acme):
    """The token that did rotate is as spent as any."""
    sandbox.settings.rotation = "sometimes"
    await acme.refresh()
    await acme.refresh()
    assert (await caller.refresh(acme.first)).error == "invalid_grant"
    assert replayed(sandbox) == (0, 1, 1)


# ---- replay windows


@pytest.mark.parametrize(
    ("passed", "status"), [(0.0, 200), (9.999, 200), (10.0, 400)], ids=str
)
async def test_window(sandbox, caller, acme, clock, passed, status):
    """Inside the window a spent token is answered, after it that is reuse."""
    sandbox.settings.replay_window = 10
    first = await acme.refresh()
    clock.now += passed
    again = await caller.refresh(acme.first)
    assert again.status == status
    if status == 200:
        assert again.document["access_token"] == first["access_token"]
        assert again.document["refresh_token"] == first["refresh_token"]
        assert replayed(sandbox) == (1, 0, 0)
    else:
        assert replayed(sandbox) == (0, 1, 1)
    assert sandbox.ledger.refreshes == 1


async def test_window_counts_from_the_first_use(sandbox, caller, acme, clock):
    """A replay does not prolong the window."""
    sandbox.settings.replay_window = 10
    await acme.refresh()
    for passed, status in ((6, 200), (3, 200), (2, 400)):
        clock.now += passed
        assert (await caller.refresh(acme.first)).status == status
    assert replayed(sandbox) == (2, 1, 1)


async def test_window_with_a_new_pair(sandbox, caller, acme):
    """A replay that mints a new pair ends the one before it."""
    sandbox.settings.replay_window = 10
    sandbox.settings.replay_answer = "new"
    first = await acme.refresh()
    second = await acme.refresh()
    assert second["refresh_token"] != first["refresh_token"]
    assert await acme.says(first["access_token"]) == "InvalidAccessToken"
    assert await acme.says(second["access_token"]) == "good"
    assert (await caller.refresh(first["refresh_token"])).error == "invalid_grant"
    assert replayed(sandbox) == (1, 1, 1)


@pytest.mark.parametrize("use", ["access", "refresh"])
@pytest.mark.parametrize("until_used", [False, True], ids=["time-only", "until-used"])
async def test_window_and_use(sandbox, caller, acme, use, until_used):
    """The next refresh closes the window; the new access token if it is told to."""
    sandbox.settings.replay_window = 10
    sandbox.settings.replay_until_used = until_used
    pair = await acme.refresh()
    if use == "access":
        assert await acme.says(pair["access_token"]) == "good"
    else:
        await acme.refresh(pair["refresh_token"])
    closes = until_used or use == "refresh"
    assert (await caller.refresh(acme.first)).status == (400 if closes else 200)
    assert replayed(sandbox) == ((0, 1, 1) if closes else (1, 0, 0))


async def test_window_of_a_grant_that_ended(sandbox, caller, acme):
    """Nothing is answered once the user has withdrawn access."""
    sandbox.settings.replay_window = 10
    await acme.refresh()
    sandbox.script.revoke("acme")
    assert (await caller.refresh(acme.first)).error == "invalid_grant"
    assert sandbox.ledger.lost_grants == sandbox.ledger.replays == 0


# ---- codes


@pytest.fixture(name="code")
def _code(sandbox):
    """A code for acme."""
    return sandbox.grants.new_code("acme", sandbox.settings.client_id, REDIRECT)


async def test_code(sandbox, caller, code):
    """A code buys one pair, of a grant of its own."""
    answer = await caller.exchange(code, REDIRECT)
    assert answer.status == 200
    told = await caller.get("/v1/whoami", answer.document["access_token"])
    assert told.document["company"] == "acme"
    assert sandbox.ledger.company("acme").exchanges == 1
    assert sandbox.ledger.refreshes == 0


async def test_code_used_twice(sandbox, caller, code):
    """The second use is refused, and ends what the first one bought."""
    pair = (await caller.exchange(code, REDIRECT)).document
    for _ in range(2):
        assert (await caller.exchange(code, REDIRECT)).error == "invalid_grant"
    refused = await caller.get("/v1/whoami", pair["access_token"])
    assert refused.code == "AccessTokenRevoked"
    assert (await caller.refresh(pair["refresh_token"])).error == "invalid_grant"
    assert [each.cause for each in sandbox.ledger.lost] == ["code_reuse"]
    assert (sandbox.ledger.exchanges, sandbox.ledger.reuse) == (1, 0)


async def test_code_used_twice_at_once(sandbox, caller, code):
    """Two exchanges at one time are two uses."""
    sandbox.settings.token_delay = 0.03
    both = await asyncio.gather(*(caller.exchange(code, REDIRECT) for _ in range(2)))
    assert sorted(each.status for each in both) == [200, 400]
    assert sandbox.ledger.lost_grants == 1


@pytest.mark.parametrize(("passed", "status"), [(599.9, 200), (600.0, 400)], ids=str)
async def test_code_lifetime(sandbox, caller, clock, code, passed, status):
    """A code is good until its lifetime is over; an old one costs no grant."""
    clock.now += passed
    assert (await caller.exchange(code, REDIRECT)).status == status
    assert sandbox.ledger.lost_grants == 0


async def test_a_code_is_no_refresh_token(sandbox, caller, code):
    """What is presented under the wrong name is unknown, and stays good."""
    assert (await caller.refresh(code)).error == "invalid_grant"
    token = sandbox.issue("other").refresh_token
    assert (await caller.exchange(token, REDIRECT)).error == "invalid_grant"
    assert (await caller.exchange(code, REDIRECT)).status == 200
    assert (await caller.refresh(token)).status == 200


async def test_a_new_grant_leaves_the_old_one(sandbox, caller, acme, code):
    """Connecting again is a second grant; both are the company's."""
    answer = await caller.exchange(code, REDIRECT)
    await acme.refresh()
    await acme.refresh(answer.document["refresh_token"])
    assert len(sandbox.grants.of("acme")) == 2
