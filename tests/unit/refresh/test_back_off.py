"""Back-off: doubling, bounds, Retry-After, and what counts on."""

from __future__ import annotations

import pytest

from everbearer.refresh._back_off import LONGEST, next_back_off
from everbearer.tokens import BackOff, BackOffKind

NOW = 1_000.0


def after(
    previous: BackOff | None,
    *,
    kind: BackOffKind = BackOffKind.UNAVAILABLE,
    about: str = "r0",
    retry_after: float | None = None,
    jitter: float = 1.0,
) -> BackOff:
    """The next back-off with a first pause of one second."""
    return next_back_off(
        previous,
        kind,
        about=about,
        now=NOW,
        first=1.0,
        retry_after=retry_after,
        message="m",
        jitter=jitter,
    )


def earlier(attempts: int, about: str = "r0") -> BackOff:
    """What was remembered of *attempts* failures."""
    return BackOff(BackOffKind.UNAVAILABLE, NOW, about, attempts, NOW - 9, "m")


@pytest.mark.parametrize(
    ("previous", "pause", "attempts"),
    [
        pytest.param(None, 1.0, 1, id="first"),
        pytest.param(earlier(1), 2.0, 2, id="second"),
        pytest.param(earlier(3), 8.0, 4, id="fourth"),
        pytest.param(earlier(1_000), LONGEST, 1_001, id="bounded"),
        pytest.param(earlier(5, "r1"), 1.0, 1, id="another-token-starts-anew"),
    ],
)
def test_doubles(previous: BackOff | None, pause: float, attempts: int) -> None:
    """Pauses double for one kind of failure of one token, up to the longest."""
    result = after(previous)
    assert (result.until, result.attempts) == (pause, attempts)


def test_jitter_takes_off_a_quarter_at_most() -> None:
    """Hosts spread, and still make a bounded number of attempts."""
    assert after(None, jitter=0.0).until == 0.75


def test_retry_after_is_a_lower_bound() -> None:
    """A provider that names a time is not asked before it."""
    assert after(None, retry_after=30.0).until == 30.0
    assert after(earlier(8), retry_after=1.0).until == 256.0


def test_the_first_failure_stays_on_record() -> None:
    """``first_at`` is relative to now, so that the store's clock makes it absolute."""
    assert after(earlier(2)).first_at == -9.0


def test_attempts_in_a_minute_are_few() -> None:
    """A dead token endpoint is asked 8 times at most, however many callers."""
    elapsed, attempts, previous = 0.0, 0, None
    while elapsed < 60:
        attempts += 1
        previous = after(previous, jitter=0.0)
        elapsed += previous.until
    assert attempts <= 8
