"""First, replay, last resort, reuse: nobody is accused falsely, and nobody gets away.

Every claim about the client ("reuse 0") rests on these names being right.
"""

from __future__ import annotations

import asyncio

import pytest

from everbearer.sandbox import LastResort, LostGrant, faults
from everbearer.sandbox._grants import GONE

pytestmark = pytest.mark.asyncio


@pytest.fixture(name="spent")
def _spent(sandbox):
    """A refresh token of acme's, yet to be spent."""
    return sandbox.issue("acme").refresh_token


def counted(sandbox):
    """Reuse, last resorts and what ended the grants."""
    ledger = sandbox.ledger
    return ledger.reuse, ledger.last_resort, [each.cause for each in ledger.lost]


async def test_spent_token_again_is_reuse(sandbox, caller, spent):
    """A second presentation is refused, counted, and ends the whole grant."""
    pair = (await caller.refresh(spent)).document
    again = await caller.refresh(spent)
    assert (again.status, again.error) == (400, "invalid_grant")
    assert counted(sandbox) == (1, 0, ["reuse"])
    assert sandbox.ledger.lost == [LostGrant("acme", "reuse")]
    refused = await caller.get("/v1/whoami", pair["access_token"])
    assert (refused.status, refused.code) == (401, "AccessTokenRevoked")
    assert (await caller.refresh(pair["refresh_token"])).error == "invalid_grant"
    assert counted(sandbox) == (1, 0, ["reuse"])


async def test_every_reuse_is_counted(sandbox, caller, spent):
    """Five more presentations are five reuses, of one grant that was lost."""
    await caller.refresh(spent)
    for _ in range(5):
        assert (await caller.refresh(spent)).status == 400
    assert counted(sandbox) == (5, 0, ["reuse"])
    assert sandbox.ledger.refreshes == 1


async def test_reuse_that_does_not_revoke(sandbox, caller, spent):
    """Where reuse only fails, the newer tokens live on, and reuse is counted alike."""
    sandbox.settings.reuse_revokes = False
    pair = (await caller.refresh(spent)).document
    assert (await caller.refresh(spent)).error == "invalid_grant"
    assert counted(sandbox) == (1, 0, [])
    assert (await caller.refresh(pair["refresh_token"])).status == 200


async def test_other_companies_are_not_touched(sandbox, caller, spent):
    """Reuse is the matter of one company, in figures and in effect."""
    other = sandbox.issue("other")
    await caller.refresh(spent)
    await caller.refresh(spent)
    assert sandbox.ledger.company("acme").reuse == 1
    assert sandbox.ledger.company("other").reuse == 0
    assert (await caller.refresh(other.refresh_token)).status == 200


async def test_two_grants_of_one_company(sandbox, caller, spent):
    """A grant is one user's consent; the company's other grant lives on."""
    second = sandbox.issue("acme")
    await caller.refresh(spent)
    await caller.refresh(spent)
    assert (await caller.refresh(second.refresh_token)).status == 200


# ---- answers in doubt


async def test_after_rotate_and_drop(sandbox, caller, spent):
    """One more try is a last resort, which fails; the try after that is reuse."""
    sandbox.script.add(faults.rotate_and_drop())
    assert (await caller.refresh(spent)).status == 0
    assert (await caller.refresh(spent)).error == "invalid_grant"
    assert counted(sandbox) == (0, 1, ["last_resort"])
    resort = LastResort("acme", "rotate_and_drop", honoured=False)
    assert sandbox.ledger.last_resorts == [resort]
    assert (await caller.refresh(spent)).error == "invalid_grant"
    assert counted(sandbox) == (1, 1, ["last_resort"])


async def test_after_drop_before(sandbox, caller, spent):
    """One more try is a last resort, which succeeds; the try after that is reuse."""
    sandbox.script.add(faults.drop_before())
    assert (await caller.refresh(spent)).status == 0
    assert (await caller.refresh(spent)).status == 200
    assert counted(sandbox) == (0, 1, [])
    assert sandbox.ledger.last_resorts[0].honoured
    assert (await caller.refresh(spent)).error == "invalid_grant"
    assert counted(sandbox) == (1, 1, ["reuse"])


@pytest.mark.parametrize("rotates", ["before", "after"])
async def test_after_the_client_left(sandbox, caller, spent, until, rotates):
    """A client that hung up before its answer may try once more, and not twice."""
    sandbox.script.add(faults.slow(0.05, rotates=rotates))
    await caller.leave(spent)
    await until(lambda: sandbox.ledger.refreshes == 1 and not _waiting(sandbox, spent))
    assert (await caller.refresh(spent)).error == "invalid_grant"
    assert counted(sandbox) == (0, 1, ["last_resort"])
    assert sandbox.ledger.last_resorts == [LastResort("acme", GONE, honoured=False)]
    await caller.refresh(spent)
    assert counted(sandbox) == (1, 1, ["last_resort"])


async def test_again_before_the_answer_was_ready(sandbox, caller, spent, until):
    """The excuse of a client that left is not given again when its answer is ready."""
    sandbox.script.add(faults.slow(0.1))
    await caller.leave(spent)
    assert (await caller.refresh(spent)).error == "invalid_grant"
    assert counted(sandbox) == (0, 1, ["last_resort"])
    await until(lambda: len(sandbox.ledger.token_requests) == 2)
    await caller.refresh(spent)
    assert counted(sandbox) == (1, 1, ["last_resort"])


async def test_left_from_a_spoilt_answer(sandbox, caller, spent, until):
    """An answer that is both spoilt and unread excuses one presentation, not two."""
    sandbox.settings.token_delay = 0.1
    sandbox.script.add(faults.rotate_and_drop())
    await caller.leave(spent)
    await caller.refresh(spent)
    await until(lambda: len(sandbox.ledger.token_requests) == 2)
    await caller.refresh(spent)
    assert counted(sandbox) == (1, 1, ["last_resort"])


async def test_processed_after_the_second_try(sandbox, caller, spent, until):
    """A server that takes a lost request up late is not the client's reuse."""
    sandbox.script.add(faults.slow(0.1, rotates="after"))
    await caller.leave(spent)
    assert (await caller.refresh(spent)).status == 200
    assert sandbox.ledger.last_resorts == [LastResort("acme", GONE, honoured=True)]
    await until(lambda: len(sandbox.ledger.token_requests) == 2)
    assert counted(sandbox) == (0, 1, ["last_resort"])


async def test_an_answer_that_somebody_read(sandbox, caller, spent, until):
    """A doubt is dispelled when the new tokens are seen in use."""
    sandbox.script.add(faults.slow(0.05))
    await caller.leave(spent)
    await until(lambda: not _waiting(sandbox, spent))
    pair = sandbox.grants.current("acme")
    assert (await caller.get("/v1/whoami", pair.access_token)).status == 200
    await caller.refresh(spent)
    assert counted(sandbox) == (1, 0, ["reuse"])


async def test_throttled_in_between(sandbox, caller, spent):
    """503 says that nothing was done: it takes no excuse away, and gives none."""
    sandbox.script.add(faults.rotate_and_drop())
    sandbox.script.add(faults.status(503, times=2))
    for _ in range(4):
        await caller.refresh(spent)
    assert counted(sandbox) == (0, 3, ["last_resort"])
    await caller.refresh(spent)
    assert counted(sandbox) == (1, 3, ["last_resort"])


async def test_one_doubt_after_another(sandbox, caller, spent):
    """Each dropped answer excuses the next presentation, however many there are."""
    sandbox.script.add(faults.drop_before(times=3))
    for _ in range(3):
        assert (await caller.refresh(spent)).status == 0
    assert (await caller.refresh(spent)).status == 200
    assert counted(sandbox) == (0, 3, [])


AMBIGUOUS = {
    "rotate-and-drop": faults.rotate_and_drop(),
    "drop-before": faults.drop_before(),
    "500": faults.status(500),
    "502-rotated": faults.status(502, rotates=True),
    "503-rotated": faults.status(503, rotates=True),
    "html": faults.html_200(),
    "html-rotated": faults.html_200(rotates=True),
    "truncated": faults.truncated_json(),
    "truncated-invention": faults.truncated_json(rotates=False),
    "answer": faults.answer("{}"),
    "no-access-token": faults.missing_access_token(),
    "no-access-token-rotated": faults.missing_access_token(rotates=True),
    "error-with-200": faults.error_with_200(),
    "huge": faults.huge(100_000),
}


@pytest.mark.parametrize("fault", AMBIGUOUS.values(), ids=AMBIGUOUS)
async def test_ambiguous_answer(sandbox, caller, spent, fault):
    """What leaves the client guessing excuses one more presentation."""
    sandbox.script.add(fault)
    await caller.refresh(spent)
    await caller.refresh(spent)
    assert counted(sandbox)[:2] == (0, 1)
    assert sandbox.ledger.last_resorts[0].cause == fault.kind
    await caller.refresh(spent)
    assert counted(sandbox)[:2] == (1, 1)


CLEAR = {
    "429": faults.status(429, retry_after=1),
    "503": faults.status(503),
    "400": faults.status(400, body='{"error":"invalid_request"}'),
    "slow": faults.slow(0.01),
    "slow-after": faults.slow(0.01, rotates="after"),
}


@pytest.mark.parametrize("fault", CLEAR.values(), ids=CLEAR)
async def test_clear_answer(sandbox, caller, spent, fault):
    """After an answer that says all, the token is as spent as the answer said."""
    sandbox.script.add(fault)
    done = (await caller.refresh(spent)).status == 200
    await caller.refresh(spent)
    assert counted(sandbox)[:2] == (int(done), 0)


# ---- at the same time


@pytest.mark.parametrize("at_once", [2, 10])
async def test_at_the_same_time(sandbox, caller, spent, at_once):
    """Of several presentations at one time one is answered, the others are reuse."""
    sandbox.settings.token_delay = 0.05
    answers = await asyncio.gather(*(caller.refresh(spent) for _ in range(at_once)))
    assert sorted(each.status for each in answers) == [200] + [400] * (at_once - 1)
    assert counted(sandbox) == (at_once - 1, 0, ["reuse"])
    assert sandbox.ledger.max_concurrency_of("acme") == at_once


async def test_overtaken(sandbox, caller, spent):
    """Reuse is found out also where the earlier request is processed later."""
    sandbox.script.add(faults.slow(0.1, rotates="after"))
    begun = await caller.begin(spent)
    assert (await caller.refresh(spent)).status == 200
    assert counted(sandbox)[:2] == (0, 0)
    await begun.answered()
    assert counted(sandbox) == (1, 0, ["reuse"])


async def test_overtaken_and_gone(sandbox, caller, spent, until):
    """Who presented beside another does not turn it into a last resort by leaving."""
    sandbox.script.add(faults.slow(0.15, rotates="after"))
    begun = await caller.begin(spent)
    assert (await caller.refresh(spent)).status == 200
    await begun.leave()
    await until(lambda: not begun.token.presented_on)
    assert counted(sandbox) == (1, 0, ["reuse"])


async def test_last_resort_beside_another(sandbox, caller, spent):
    """A last resort excuses itself, not who presents the token beside it."""
    sandbox.script.add(faults.drop_before())
    await caller.refresh(spent)
    sandbox.script.add(faults.slow(0.1, rotates="after"))
    begun = await caller.begin(spent)
    assert (await caller.refresh(spent)).status == 200
    await begun.answered()
    assert counted(sandbox) == (1, 1, ["reuse"])


# ---- what is no presentation


NOT_OURS = {
    "wrong-secret": {"client_secret": "guessed"},
    "another-client": {"client_id": "second", "client_secret": "its secret"},
    "unknown-client": {"client_id": "nobody"},
    "malformed": {"scope": "all"},
}


@pytest.mark.parametrize("changes", NOT_OURS.values(), ids=NOT_OURS)
async def test_not_from_its_client(sandbox, caller, spent, changes):
    """What fails before the token is looked at spends, accuses and excuses nobody."""
    sandbox.settings.other_clients = {"second": "its secret"}
    await caller.refresh(spent, **changes)
    assert sandbox.ledger.refreshes == 0
    sandbox.script.add(faults.rotate_and_drop())
    await caller.refresh(spent)
    await caller.refresh(spent, **changes)
    assert counted(sandbox) == (0, 0, [])
    await caller.refresh(spent)
    assert counted(sandbox) == (0, 1, ["last_resort"])
    await caller.refresh(spent, **changes)
    assert counted(sandbox) == (0, 1, ["last_resort"])


async def test_unknown_token(sandbox, caller):
    """A token that was never issued is refused, and is nobody's reuse."""
    assert (await caller.refresh("refresh-invented")).error == "invalid_grant"
    assert counted(sandbox) == (0, 0, [])
    assert sandbox.ledger.token_requests[-1].company is None


async def test_withdrawn_by_the_user(sandbox, caller, spent):
    """A living token of a grant that its user ended: refused, no reuse, not lost."""
    sandbox.script.revoke("acme")
    for _ in range(2):
        assert (await caller.refresh(spent)).error == "invalid_grant"
    assert counted(sandbox) == (0, 0, [])
    assert [each.kind for each in sandbox.ledger.faults] == ["revoke"]


# ---- a client that was killed


async def test_killed_before_it_used_the_answer(sandbox, caller, spent):
    """The pair died with its reader: one presentation is excused, by name."""
    await caller.refresh(spent)
    assert sandbox.script.killed("worker 3") == 1
    await caller.refresh(spent)
    assert counted(sandbox) == (0, 1, ["last_resort"])
    assert sandbox.ledger.last_resorts[0].cause == "worker 3 was killed"
    await caller.refresh(spent)
    assert counted(sandbox) == (1, 1, ["last_resort"])


async def test_killed_twice(sandbox, caller, spent):
    """An answer is no excuse for ever: not at the next process that is killed."""
    await caller.refresh(spent)
    assert sandbox.script.killed("worker 3") == 1
    await caller.refresh(spent)
    assert sandbox.script.killed("worker 4") == 0
    await caller.refresh(spent)
    assert counted(sandbox) == (1, 1, ["last_resort"])


@pytest.mark.parametrize("use", ["access", "refresh", "later"])
async def test_killed_after_it_used_the_answer(sandbox, caller, spent, use):
    """Who was seen with the new pair has it, whoever is killed."""
    pair = (await caller.refresh(spent)).document
    if use == "later":
        assert sandbox.script.killed("worker 3") == 1
    if use == "refresh":
        await caller.refresh(pair["refresh_token"])
    else:
        await caller.get("/v1/whoami", pair["access_token"])
    sandbox.script.killed("worker 4")
    await caller.refresh(spent)
    assert counted(sandbox) == (1, 0, ["reuse"])


async def test_killed_with_the_connection_open(sandbox, caller, spent):
    """A reader whose connection still stands is alive: nothing is excused."""
    sandbox.settings.token_delay = 0.05
    begun = await caller.begin(spent)
    await begun.answered()
    assert sandbox.script.killed("worker 3") == 0
    await caller.refresh(spent)
    assert counted(sandbox) == (1, 0, ["reuse"])


def _waiting(sandbox, refresh_token):
    return sandbox.grants.refresh_token(refresh_token).presented_on
