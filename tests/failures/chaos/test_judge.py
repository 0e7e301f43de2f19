"""The judge can say no: each kind of evidence that is not as promised turns it red."""

from __future__ import annotations

import pytest
from attrs import evolve
from tests.failures.chaos._judge import (
    UNAVOIDABLE,
    Bounds,
    Call,
    Case,
    Ended,
    Resort,
    Reuse,
    Touch,
    judge,
)

BOUNDS = Bounds(
    lease=1.0, deadline=1.6, grace=0.5, back_off=0.2, spell=1.5, busy=5.0, slack=1.0
)
FAILED = Call(0, "acme", 100.0, 101.0, "TemporarilyUnavailable", retry_after=0.5)
NEEDS_USER = Call(0, "acme", 100.0, 101.0, "AuthorizationRequired")
ANSWER_401 = Call(0, "acme", 100.0, 101.0, "status", "401")
STORE_FAILED = Call(0, "acme", 100.0, 101.0, "StoreError")
LATE = Touch("late-answer", 98.0, 99.0, "acme")
HEALED = FAILED.begin - BOUNDS.healing - 0.1
QUIET = Case(
    BOUNDS,
    living=("acme",),
    slots=2,
    answered_last={(0, "acme"): 199.5, (1, "acme"): 199.9},
    ended_at=200.0,
)


def case(*failures: Call, touches=(), ended=()) -> Case:
    return evolve(QUIET, failures=failures, touches=touches, ended=ended)


def test_a_quiet_run_is_good() -> None:
    """Nothing happened, nothing is wrong."""
    assert judge(QUIET).complaints == []


@pytest.mark.parametrize(
    "due",
    [
        pytest.param(case(FAILED, touches=(LATE,)), id="its-account-was-hit"),
        pytest.param(
            case(FAILED, touches=(Touch("busy-503", 98.0, 99.0),)), id="all-were-hit"
        ),
        pytest.param(
            case(FAILED, touches=(Touch("stop", 99.0, 100.0, slot=0),)),
            id="its-worker-was-stopped-during-the-call",
        ),
        pytest.param(
            case(STORE_FAILED, touches=(Touch("store-down", 99.0, 100.5),)),
            id="the-store-was-down",
        ),
        pytest.param(
            case(NEEDS_USER, ended=(Ended("acme", 99.0, 102.0),)), id="grant-over"
        ),
        pytest.param(
            case(ANSWER_401, ended=(Ended("acme", 100.5),)), id="grant-over-meanwhile"
        ),
        pytest.param(
            evolve(case(ANSWER_401, touches=(LATE,)), fragile=frozenset({"acme"})),
            id="its-successor-ended-it",
        ),
        pytest.param(
            case(ANSWER_401, touches=(Touch("stop", 99.0, 100.5, slot=0),)),
            id="tokens-ended-while-it-stood-still",
        ),
    ],
)
def test_due_failures(due) -> None:
    """A failure that a fault explains is counted, and no complaint."""
    verdict = judge(due)
    assert verdict.complaints == []
    assert verdict.due.total() == 1


@pytest.mark.parametrize(
    "undue",
    [
        pytest.param(case(FAILED), id="no-fault-at-all"),
        pytest.param(
            case(FAILED, touches=(evolve(LATE, account="other"),)),
            id="another-account-was-hit",
        ),
        pytest.param(
            case(FAILED, touches=(evolve(LATE, begin=90.0, end=HEALED),)),
            id="it-should-have-healed",
        ),
        pytest.param(
            case(FAILED, touches=(evolve(LATE, begin=101.5, end=102.0),)),
            id="the-fault-came-after",
        ),
        pytest.param(
            case(FAILED, touches=(Touch("stop", 98.0, 99.0, slot=0),)),
            id="its-worker-went-on-before-the-call",
        ),
        pytest.param(
            case(FAILED, touches=(Touch("stop", 99.0, 100.5, slot=1),)),
            id="another-worker-was-stopped",
        ),
        pytest.param(
            case(evolve(FAILED, retry_after=60.0), touches=(LATE,)),
            id="told-to-wait-too-long",
        ),
        pytest.param(case(STORE_FAILED, touches=(LATE,)), id="not-the-stores-fault"),
        pytest.param(case(NEEDS_USER, touches=(LATE,)), id="the-grant-was-intact"),
        pytest.param(
            case(NEEDS_USER, ended=(Ended("acme", 90.0, 99.9),)),
            id="connected-again-before",
        ),
        pytest.param(
            case(NEEDS_USER, ended=(Ended("acme", 101.1),)), id="ended-afterwards"
        ),
        pytest.param(
            case(NEEDS_USER, ended=(Ended("other", 90.0),)), id="another-grant-ended"
        ),
        pytest.param(case(ANSWER_401, touches=(LATE,)), id="a-401-for-the-caller"),
        pytest.param(
            evolve(case(ANSWER_401), fragile=frozenset({"acme"})),
            id="a-401-for-nothing",
        ),
        pytest.param(
            case(ANSWER_401, touches=(Touch("stop", 99.0, 100.5, slot=1),)),
            id="a-401-while-another-worker-stood-still",
        ),
        pytest.param(
            case(ANSWER_401, touches=(Touch("stop", 98.0, 99.0, slot=0),)),
            id="a-401-after-its-worker-went-on",
        ),
        pytest.param(
            case(NEEDS_USER, touches=(Touch("stop", 99.0, 100.5, slot=0),)),
            id="a-stop-ends-no-grant",
        ),
        pytest.param(
            case(evolve(FAILED, outcome="ClientOSError"), touches=(LATE,)),
            id="not-an-error-of-ours",
        ),
        pytest.param(
            case(evolve(FAILED, outcome="another's answer"), touches=(LATE,)),
            id="another-accounts-answer",
        ),
        pytest.param(
            evolve(QUIET, slow=(evolve(FAILED, end=120.0, outcome="slow"),)),
            id="twenty-seconds-for-a-call",
        ),
    ],
)
def test_undue_failures(undue) -> None:
    """A failure that no fault explains is a complaint, once."""
    verdict = judge(undue)
    assert len(verdict.undue) == 1
    assert len(verdict.complaints) == 1


def test_faults_in_a_row_make_longer_pauses() -> None:
    """Each fault of an account may double its pause, and no other account's does."""
    waiting = evolve(FAILED, retry_after=BOUNDS.healing + 3.0)
    row = tuple(evolve(LATE, begin=97.0 - n, end=98.0 - n) for n in range(5))
    assert judge(case(waiting, touches=row[:2])).complaints != []
    assert judge(case(waiting, touches=row)).complaints == []
    others = tuple(evolve(touch, account="other") for touch in row[1:])
    assert judge(case(waiting, touches=(row[0], *others))).complaints != []
    assert BOUNDS.healing_after(99) < 40.0


def test_a_stopped_worker_is_not_slow() -> None:
    """The seconds in which it was stopped do not count."""
    slow = evolve(FAILED, end=120.0, outcome="slow")
    stop = Touch("stop", 101.0, 118.0, slot=0)
    assert judge(evolve(QUIET, slow=(slow,), touches=(stop,))).complaints == []
    other = evolve(stop, slot=1)
    assert judge(evolve(QUIET, slow=(slow,), touches=(other,))).complaints != []


@pytest.mark.parametrize("excuse", UNAVOIDABLE)
def test_reuse(excuse) -> None:
    """A refresh token used twice is a complaint, unless no client could help it."""
    reuse = Reuse("acme", 100.0, 0)
    found = evolve(QUIET, reuse=1, reuses=(reuse,))
    assert judge(found).reuse == 1
    assert len(judge(found).complaints) == 1
    excused = evolve(found, reuses=(evolve(reuse, excuse=excuse),), lost=("acme",))
    assert judge(excused).complaints == []
    assert judge(excused).unavoidable == {excuse: 1}
    assert judge(evolve(excused, reuse=2)).reuse == 1
    assert judge(evolve(excused, lost=("acme", "acme"))).lost == 1


@pytest.mark.parametrize(
    ("resorts", "complaints"),
    [
        pytest.param((Resort("acme", "kill", due=True, fatal=True),), 0, id="due"),
        pytest.param((), 1, id="nothing-excuses-it"),
        pytest.param(
            (Resort("acme", "kill", due=True),), 1, id="that-one-was-honoured"
        ),
        pytest.param(
            (Resort("other", "kill", due=True, fatal=True),), 1, id="another-grant"
        ),
        pytest.param(
            (Resort("acme", "it left", due=False, fatal=True),),
            2,
            id="no-fault-of-ours",
        ),
    ],
)
def test_lost_grants(resorts, complaints) -> None:
    """A grant may end by a last resort that a fault has caused, and by nothing else."""
    lost = evolve(QUIET, lost=("acme",), resorts=resorts)
    assert len(judge(lost).complaints) == complaints


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param(
            {"answered_last": {(0, "acme"): 199.5}},
            "acme: worker 1 had no answer at the end",
            id="never-answered",
        ),
        pytest.param(
            {"answered_last": {(0, "acme"): 199.5, (1, "acme"): 190.0}},
            "acme: worker 1 had no answer at the end",
            id="not-any-more",
        ),
        pytest.param({"crashes": ("worker 1: exit 1",)}, "worker 1: exit 1", id="exit"),
    ],
)
def test_the_end(changes, said) -> None:
    """When all is well again every worker has an answer for every living account."""
    assert judge(evolve(QUIET, **changes)).complaints == [said]
