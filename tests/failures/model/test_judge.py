"""What the judge of the model lets pass, and that it lets no more pass."""

from __future__ import annotations

import pytest
from tests.failures.model._machine import replay
from tests.failures.model._model import BrokenRuleError
from tests.failures.model._taken_away import taken_away

# The second thing that no client can save: A alone is cut off from the store, with r1
# in hand, for longer than the grace, and the access token is dead.  B's last resort
# ends the family.
CUT_OFF_WITH_THE_PAIR = (
    ("call", 0),
    ("trouble", 0, "cut off"),
    ("wait", 6.0),
    ("call", 1),
    ("wait", 9.0),
)
NO_REASON = (
    "refresh._ending:why_refused",
    "if decision is not Decision.SPEND and found is not None:",
    "if False:",
)

NOTHING_VOIDED = (
    "stores._transitions:replace",
    "standing=Standing.CONNECTED,",
    "standing=record.standing,",
)


@pytest.mark.parametrize(
    "run",
    [
        CUT_OFF_WITH_THE_PAIR,
        (
            ("call", 1),
            ("wait", 0.3),
            ("call", 0),
            ("stop", 1),
            ("until_sent",),
            ("recover", 1),
            ("wait", 7.5),
        ),
    ],
    ids=["cut off with the pair", "stopped while the pair comes"],
)
def test_a_pair_that_was_saved_too_late_may_be_called_refused(run: tuple) -> None:
    """The late save voids the mark, and the provider refuses r1 when it is first spent.

    That the grant had ended with a rotation is what the other's caller was told, if
    the save did not come before the mark.
    """
    replay("strict", run)


def test_who_joins_a_slow_flight_sees_what_it_saw() -> None:
    """B's look at the store is under way while the user authorizes anew.

    Nothing is told of who asks B in that second; the judge asks after it.
    """
    run = (
        ("call", 0),
        ("revoke",),
        ("wait", 45.0),
        ("trouble", 1, "slow to answer"),
        ("call", 1),
        ("adopt", 0, 60.0),
    )
    replay("closing", run)


def test_the_end_of_a_long_wait_comes() -> None:
    """Two wait for as long as they may, while B can renew its lease and not save.

    Were they told of a change by each look at the store, as they once were, the last
    bit of that wait would never pass: time passes only while nobody has work.
    """
    run = (
        ("trouble", 1, "disk full"),
        ("wait", 45.0),
        ("call", 1),
        ("call", 2),
        ("call", 0),
        ("wait", 0.3),
        ("wait", 12.0),
        ("wait", 1.5),
    )
    replay("strict", run, processes=3, lifetime=6.0, told=True)


def test_a_pair_that_lives_is_had_when_it_is_saved() -> None:
    """Where reuse revokes nothing, A's save voids the mark, and B has a token then.

    Before it B is told that the rotation was lost, the fifth thing that no client can
    save; with a save that voids nothing, the judge says so.
    """
    replay("lenient", CUT_OFF_WITH_THE_PAIR)
    with (
        taken_away(*NOTHING_VOIDED),
        pytest.raises(BrokenRuleError, match="a living grant was lost"),
    ):
        replay("lenient", CUT_OFF_WITH_THE_PAIR)


@pytest.mark.parametrize(
    "then",
    [
        (("kill", 0),),
        (("trip", 0, "lost answer"), ("recover", 0), ("wait", 1.5), ("call", 0)),
    ],
    ids=["r1 is never saved", "r1 is presented twice"],
)
def test_any_other_lost_rotation_is_called_one(then: tuple) -> None:
    """With the reason of a last resort taken away, the judge misses it there too."""
    run = (*CUT_OFF_WITH_THE_PAIR, *then)
    replay("strict", run)
    with (
        taken_away(*NO_REASON),
        pytest.raises(BrokenRuleError, match="the user told refused"),
    ):
        replay("strict", run)
