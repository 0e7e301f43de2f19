"""Which test keeps which rule of the refresh protocol."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
CONTRACT = TESTS.parent / "src/everbearer/testing/_contract"
LAST_RULE = 21

# The tests that fail first when a rule is taken away; more mention it.
RULES = {
    1: (
        "contract/test_lease.py::test_the_successor_finds_the_intent",
        "contract/test_lease.py::test_an_intent_about_an_older_token_does_not_count",
    ),
    2: (
        "schedules/test_sending.py"
        "::test_a_connect_error_does_not_clear_somebody_elses_sending",
        "contract/test_lease.py::test_a_restored_intent_is_the_one_found",
        "unit/refresh/test_decision.py::test_only_an_ambiguous_answer_keeps_the_intent",
    ),
    3: (
        "schedules/test_sending.py::test_an_answer_after_the_deadline_is_not_overtaken",
        "schedules/test_closing.py"
        "::test_what_closing_gives_up_is_unfinished_for_the_next",
    ),
    4: (
        "schedules/test_sending.py"
        "::test_a_living_access_token_is_used_up_before_anything_is_sent_again",
        "schedules/test_serving.py::test_a_lost_answer_is_no_news_to_the_next_thousand",
        "unit/refresh/test_decision.py"
        "::test_an_unfinished_attempt_is_never_simply_spent",
    ),
    5: (
        "schedules/test_grace.py"
        "::test_an_answer_that_is_about_to_be_saved_is_waited_for",
        "schedules/test_grace.py::test_a_grace_starts_again_when_a_store_call_fails",
        "schedules/test_grace.py::test_a_grace_longer_than_the_lease_keeps_the_lease",
        "schedules/test_grace.py::test_what_is_recorded_during_the_grace_counts",
    ),
    6: (
        "schedules/test_grace.py::test_a_last_resort_is_a_sending_like_any_other",
        "schedules/test_grace.py::test_three_crashes_in_a_row_never_overlap",
        "schedules/test_sending.py::test_the_sending_is_noted_and_not_only_the_lease",
    ),
    7: (
        "schedules/test_sending.py"
        "::test_a_late_clean_up_does_not_release_the_next_lease",
        "contract/test_lease.py::test_release_compares_the_lease",
    ),
    8: (
        "schedules/test_sending.py"
        "::test_what_is_recorded_while_a_lease_is_asked_for_counts",
    ),
    9: (
        "schedules/test_sending.py"
        "::test_a_process_that_slept_after_acquiring_does_not_send",
        "schedules/test_sending.py::test_the_time_that_acquiring_took_counts",
        "schedules/test_sending.py"
        "::test_what_has_not_left_by_the_deadline_never_leaves",
    ),
    10: (
        "schedules/test_sending.py::test_a_lost_lease_does_not_lose_the_answer",
        "schedules/test_sending.py::test_a_failed_renewal_forbids_sending",
        "unit/refresh/test_decision.py::test_nothing_is_spent_without_the_lease",
    ),
    11: (
        "schedules/test_saving.py"
        "::test_a_late_answer_ends_the_grace_of_the_next_flight",
        "schedules/test_saving.py::test_who_holds_an_unsaved_pair_sends_nothing",
        "schedules/test_saving.py"
        "::test_a_late_save_beats_what_a_second_attempt_was_told",
    ),
    12: (
        "contract/test_tokens.py::test_replace_keeps_a_foreign_lease",
        "contract/test_tokens.py::test_replace_of_a_version_that_is_gone",
        "schedules/test_saving.py"
        "::test_a_late_answer_about_r0_does_not_touch_the_adopted_s0",
    ),
    13: (
        "contract/test_tokens.py::test_versions_never_start_again",
        "schedules/test_saving.py"
        "::test_a_late_answer_about_r0_does_not_touch_the_adopted_s0",
    ),
    14: (
        "schedules/test_saving.py::test_a_lost_acknowledgement_is_a_success",
        "schedules/test_saving.py::test_a_rotation_that_nobody_wants_is_revoked",
        "schedules/test_saving.py::test_an_unsaved_pair_that_lost_is_served_no_more",
    ),
    15: (
        "contract/test_tokens.py::test_a_refusal_counts_for_its_token_only",
        "contract/test_tokens.py::test_a_late_save_voids_a_refusal",
        "schedules/test_saving.py"
        "::test_a_late_answer_about_r0_does_not_touch_the_adopted_s0",
    ),
    16: (
        "contract/test_tokens.py::test_what_a_new_token_clears",
        "schedules/test_saving.py::test_a_throttle_outlives_the_save_of_another",
        "schedules/test_stores.py::test_a_shorter_throttle_does_not_cut_a_longer_one",
    ),
    18: (
        "schedules/test_grace.py::test_a_replay_waits_for_the_grace_too",
        "schedules/test_grace.py::test_the_window_is_looked_at_again_when_sending",
        "schedules/test_grace.py::test_a_window_shorter_than_a_grace_is_none",
    ),
    20: (
        "schedules/test_serving.py::test_nobody_walks_back_to_an_older_version",
        "schedules/test_serving.py"
        "::test_an_api_that_rejects_every_token_is_not_refreshed_for",
        "schedules/test_serving.py::test_one_refresh_for_one_rejected_token",
    ),
    21: (
        "schedules/test_serving.py::test_waiting_for_others_has_an_end",
        "schedules/test_serving.py::test_a_living_grant_yields_a_token_in_time",
        "schedules/test_closing.py::test_a_flight_that_never_began_frees_its_waiters",
    ),
}

NOT_YET = {
    17: "nothing is spilled yet: an unsaved pair lives in its process only",
    19: "no provider is known whose first use of the new token closes the window",
}


def docstring_of(test: str) -> str | None:
    """What the test *path::name* promises; None if there is no such test."""
    path, name = test.split("::")
    # The contract is for stores of others too.
    file = TESTS / path
    if path.startswith("contract/") and not file.exists():
        file = CONTRACT / file.name.removeprefix("test_")
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if getattr(node, "name", None) == name:
            return ast.get_docstring(node)
    return None


def rules_in(docstring: str) -> set[int]:
    """The numbers after "Rule" or "Rules"."""
    named = re.findall(r"Rules? ((?:\d+(?:, | and )?)+)", docstring)
    return {int(number) for text in named for number in re.findall(r"\d+", text)}


@pytest.mark.parametrize("rule", range(1, LAST_RULE + 1))
def test_every_rule_has_a_test(rule: int) -> None:
    """A rule of the protocol is kept by tests that name it, or it says why not."""
    assert (rule in RULES) is not (rule in NOT_YET)
    for test in RULES.get(rule, ()):
        assert rule in rules_in(docstring_of(test) or f"there is no {test}")
