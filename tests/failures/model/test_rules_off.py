"""Each guard that can be taken away is missed: the run that it was for turns red."""

from __future__ import annotations

import pytest
from tests.failures.model._guards_of_saving import GUARDS_OF_SAVING
from tests.failures.model._guards_of_sending import GUARDS_OF_SENDING
from tests.failures.model._machine import replay, search
from tests.failures.model._model import BrokenRuleError
from tests.failures.model._taken_away import TakenAway, taken_away

GUARDS = (*GUARDS_OF_SENDING, *GUARDS_OF_SAVING)
LAST_RULE = 21

# What is missing among them, and why; `schedules/test_rules.py` names the tests that
# keep these rules all the same.
NOT_TAKEN_AWAY = (
    (16, "back-off keyed to the token", "the first pauses are shorter than rule 21's"),
    (17, "spills", "the model has no disk"),
    (18, "the window, when sending", "a last resort follows, with the same bytes"),
    (18, "a window below D + G + X", "as above: it changes only what it is called"),
    (20, "rejected again", "the API of the model takes every new token at first"),
)


@pytest.mark.parametrize(
    "guard", GUARDS, ids=lambda guard: f"{guard.rule}-{guard.what}"
)
def test_a_guard_that_is_taken_away_is_missed(guard: TakenAway) -> None:
    """The known counterexample is harmless with the guard, and harms without it."""
    begun = {"processes": guard.processes, "lifetime": guard.lifetime}
    replay(guard.flavour, guard.run, **begun)
    with (
        taken_away(guard.where, guard.old, guard.new),
        pytest.raises(BrokenRuleError, match=guard.red),
    ):
        replay(guard.flavour, guard.run, **begun)


def test_every_rule_is_taken_away_once() -> None:
    """Each rule has a guard here, or the reason why it has none."""
    rules = {guard.rule for guard in GUARDS} | {rule for rule, *_ in NOT_TAKEN_AWAY}
    assert rules == set(range(1, LAST_RULE + 1))


@pytest.mark.parametrize(
    "what",
    [
        "an unfinished refresh token is simply spent",
        "release after an ambiguous answer clears the intent",
        "the socket is closed at D",
        "versions start again",
    ],
)
def test_the_machine_finds_what_nobody_wrote_down(what: str) -> None:
    """Without a guard, runs that are drawn and not written show the harm too."""
    (guard,) = (each for each in GUARDS if each.what == what)
    with (
        taken_away(guard.where, guard.old, guard.new),
        pytest.raises(BrokenRuleError, match="at "),
    ):
        search(guard.flavour, 1, 2000)
