"""Which test keeps which rule of the refresh protocol."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]
CONTRACT = TESTS.parent / "src/everbearer/testing/_contract"
LAST_RULE = 21

# The tests that fail first when a rule is taken away; more mention it.
RULES = {
    1: (
        "test_the_successor_finds_the_intent",
        "test_an_intent_about_an_older_token_does_not_count",
    ),
    2: (
        "test_a_connect_error_does_not_clear_somebody_elses_sending",
        "test_a_lease_whose_acknowledgement_was_lost_is_given_back",
        "test_a_restored_intent_is_the_one_found",
        "test_only_an_ambiguous_answer_keeps_the_intent",
    ),
    3: (
        "test_an_answer_after_the_deadline_is_not_overtaken",
        "test_what_closing_gives_up_is_unfinished_for_the_next",
    ),
    4: (
        "test_a_living_access_token_is_used_up_before_anything_is_sent_again",
        "test_a_lost_answer_is_no_news_to_the_next_thousand",
        "test_an_unfinished_attempt_is_never_simply_spent",
    ),
    5: (
        "test_an_answer_that_is_about_to_be_saved_is_waited_for",
        "test_a_grace_starts_again_when_a_store_call_fails",
        "test_a_grace_longer_than_the_lease_keeps_the_lease",
        "test_what_is_recorded_during_the_grace_counts",
    ),
    6: (
        "test_a_last_resort_is_a_sending_like_any_other",
        "test_three_crashes_in_a_row_never_overlap",
        "test_the_sending_is_noted_and_not_only_the_lease",
    ),
    7: (
        "test_a_late_clean_up_does_not_release_the_next_lease",
        "test_release_compares_the_lease",
    ),
    8: ("test_what_is_recorded_while_a_lease_is_asked_for_counts",),
    9: (
        "test_a_process_that_slept_after_acquiring_does_not_send",
        "test_the_time_that_acquiring_took_counts",
        "test_what_has_not_left_by_the_deadline_never_leaves",
    ),
    10: (
        "test_a_lost_lease_does_not_lose_the_answer",
        "test_a_failed_renewal_forbids_sending",
        "test_nothing_is_spent_without_the_lease",
    ),
    11: (
        "test_a_late_answer_ends_the_grace_of_the_next_flight",
        "test_who_holds_an_unsaved_pair_sends_nothing",
        "test_a_late_save_beats_what_a_second_attempt_was_told",
    ),
    12: (
        "test_replace_keeps_a_foreign_lease",
        "test_replace_of_a_version_that_is_gone",
        "test_replace_in_a_store_that_lost_its_newest_writes",
        "test_a_living_holder_puts_a_missing_version_back",
        "test_a_late_answer_about_r0_does_not_touch_the_adopted_s0",
    ),
    13: (
        "test_versions_never_start_again",
        "test_a_late_answer_about_r0_does_not_touch_the_adopted_s0",
    ),
    14: (
        "test_a_lost_acknowledgement_is_a_success",
        "test_a_rotation_that_nobody_wants_is_revoked",
        "test_an_unsaved_pair_that_lost_is_served_no_more",
        "test_of_two_pairs_the_living_one_is_stored",
        "test_a_pair_that_cannot_be_judged_is_kept",
        "test_nobody_spends_the_stored_one_while_both_are_compared",
        "test_an_alternate_is_tried_before_the_user_is_asked",
        "test_a_spilled_sibling",
    ),
    15: (
        "test_a_refusal_counts_for_its_token_only",
        "test_a_late_save_voids_a_refusal",
        "test_a_late_answer_about_r0_does_not_touch_the_adopted_s0",
    ),
    16: (
        "test_what_a_new_token_clears",
        "test_a_throttle_outlives_the_save_of_another",
        "test_a_shorter_throttle_does_not_cut_a_longer_one",
    ),
    17: (
        "test_a_spilled_pair_outlives_its_process",
        "test_a_process_that_opens_looks_for_spills",
        "test_a_spill_during_the_grace_ends_it",
        "test_a_spill_does_not_overwrite_what_is_newer",
    ),
    18: (
        "test_a_replay_waits_for_the_grace_too",
        "test_the_window_is_looked_at_again_when_sending",
        "test_a_window_shorter_than_a_grace_is_none",
    ),
    19: (
        "test_what_was_saved_over_a_foreign_lease_waits_for_its_end",
        "test_an_unsaved_token_is_not_used_where_that_closes_a_window",
        "test_what_was_unsaved_and_is_stored_over_a_lease_waits_for_its_end",
        "test_a_spill_waits_for_a_foreign_lease_where_there_is_a_window",
    ),
    20: (
        "test_nobody_walks_back_to_an_older_version",
        "test_an_api_that_rejects_every_token_is_not_refreshed_for",
        "test_one_refresh_for_one_rejected_token",
    ),
    21: (
        "test_waiting_for_others_has_an_end",
        "test_a_living_grant_yields_a_token_in_time",
        "test_a_flight_that_never_began_frees_its_waiters",
    ),
}


def promises() -> dict[str, str]:
    """The docstrings of all tests by name."""
    # The contract is for stores of others too.
    files = [*TESTS.rglob("test_*.py"), *CONTRACT.glob("*.py")]
    return {
        node.name: ast.get_docstring(node) or ""
        for path in files
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def rules_in(docstring: str) -> set[int]:
    """The numbers after "Rule" or "Rules"."""
    named = re.findall(r"Rules? ((?:\d+(?:, | and )?)+)", docstring)
    return {int(number) for text in named for number in re.findall(r"\d+", text)}


@pytest.fixture(name="promised", scope="module")
def _promised() -> dict[str, str]:
    return promises()


@pytest.mark.parametrize("rule", range(1, LAST_RULE + 1))
def test_every_rule_has_a_test(rule: int, promised: dict[str, str]) -> None:
    """A rule of the protocol is kept by tests that name it."""
    for test in RULES[rule]:
        assert rule in rules_in(promised.get(test, f"there is no {test}"))
