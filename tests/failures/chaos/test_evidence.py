"""What excuses a token that was used again, and what does not."""

from __future__ import annotations

import time

import pytest
from tests.failures.chaos._evidence import Evidence
from tests.failures.chaos._judge import PAUSED, SLOW_SAVE, Bounds, Touch

BOUNDS = Bounds(
    lease=1.0, deadline=1.6, grace=0.5, back_off=0.2, spell=1.5, busy=5.0, slack=1.0
)
STOP = Touch("stop", 100.0, 103.0, slot=0)


def excuse_of(seen: Evidence, *, began: float = 103.01, why: str = "") -> str:
    """Of a reuse by worker 0 of acme's token."""
    seen.reused("acme", 0, began, why)
    return seen.told()[-1].excuse


def checked(at: float, stop: Touch) -> Evidence:
    seen = Evidence(BOUNDS)
    seen.heard(0, {"what": "checked", "at": at, "account": "acme"})
    seen.touch(stop)
    return seen


@pytest.mark.parametrize(
    ("at", "stop", "excuse"),
    [
        pytest.param(99.99, STOP, PAUSED, id="stopped-right-after-the-check"),
        pytest.param(103.005, STOP, "", id="checked-after-it-went-on"),
        pytest.param(
            99.99, Touch("stop", 100.0, 103.0, slot=1), "", id="another-worker"
        ),
        pytest.param(
            102.69, Touch("stop", 102.7, 103.0, slot=0), "", id="shorter-than-the-lease"
        ),
        pytest.param(
            99.99, Touch("slow machine", 100.0, 103.0, slot=0), "", id="not-a-stop"
        ),
    ],
)
def test_a_pause_after_the_last_check(at, stop, excuse) -> None:
    """Only a worker that was stopped between the check and the write is excused."""
    assert excuse_of(checked(at, stop)) == excuse


@pytest.mark.parametrize(
    ("account", "seconds", "at", "excuse"),
    [
        pytest.param("acme", 0.7, 103.2, SLOW_SAVE, id="it-took-too-long"),
        pytest.param("acme", 0.2, 103.2, "", id="it-was-quick"),
        pytest.param("other", 0.7, 103.2, "", id="of-another-account"),
        pytest.param("acme", 0.7, 101.0, "", id="long-over"),
        pytest.param("acme", 0.7, 105.0, "", id="not-yet-begun"),
    ],
)
def test_a_save_that_takes_long(account, seconds, at, excuse) -> None:
    """A pair that could not be stored within the grace excuses the others."""
    seen = Evidence(BOUNDS)
    seen.heard(1, {"what": "saving", "account": account, "at": at - seconds})
    seen.heard(1, {"what": "saved", "account": account, "at": at})
    assert excuse_of(seen) == excuse


def test_a_save_that_is_never_done() -> None:
    """Its worker was killed, or the run is over."""
    seen, now = Evidence(BOUNDS), time.monotonic()
    seen.heard(1, {"what": "saving", "account": "acme", "at": now - 3.0})
    assert excuse_of(seen, began=now) == SLOW_SAVE


def test_unsaved_until_it_is_saved() -> None:
    """What a worker could not store is remembered until it says otherwise."""
    seen = Evidence(BOUNDS)
    seen.heard(1, {"what": "unsaved", "at": 100.0, "account": "acme"})
    assert seen.unsaved[1] == {"acme"}
    seen.heard(1, {"what": "settled", "at": 100.5, "account": "acme"})
    assert seen.unsaved[1] == set()


def test_a_stall_is_a_fault_unless_we_did_it() -> None:
    """A worker without time to run in excuses calls; one that is stopped is stopped."""
    seen = Evidence(BOUNDS)
    seen.stopped[0] = True
    seen.heard(0, {"what": "lag", "at": 100.0, "seconds": 2.0})
    assert seen.touches == []
    seen.heard(1, {"what": "lag", "at": 100.0, "seconds": 2.0})
    assert seen.touches == [Touch("slow machine", 98.0, 100.0, slot=1)]
