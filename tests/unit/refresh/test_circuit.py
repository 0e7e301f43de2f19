"""The circuit of a registration."""

from __future__ import annotations

from everbearer.refresh._circuit import Circuits


def test_one_caller_is_let_through_when_a_pause_is_over() -> None:
    """Thousands of accounts ask; the provider sees one of them."""
    circuits = Circuits(1.0)
    assert circuits.refused("billit", "old", "wrong secret", 100.0) == 1.0
    assert circuits.why_open("billit", "old", 100.9) == "wrong secret"
    assert circuits.why_open("billit", "old", 101.0) is None
    assert circuits.why_open("billit", "old", 101.0) == "wrong secret"


def test_pauses_double_up_to_five_minutes() -> None:
    """A secret that stays wrong is asked about ever more rarely."""
    circuits, now, pauses = Circuits(1.0), 0.0, []
    for _ in range(11):
        pauses.append(circuits.refused("billit", "old", "wrong secret", now))
        now += pauses[-1]
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]


def test_a_new_secret_is_tried_at_once_and_counts_anew() -> None:
    """Whoever mends the configuration does not wait."""
    circuits = Circuits(1.0)
    circuits.refused("billit", "old", "wrong secret", 0.0)
    circuits.refused("billit", "old", "wrong secret", 0.0)
    assert circuits.why_open("billit", "new", 0.0) is None
    assert circuits.refused("billit", "new", "wrong secret", 0.0) == 1.0


def test_registrations_are_apart() -> None:
    """One provider's misconfiguration stops no other."""
    circuits = Circuits(1.0)
    circuits.refused("billit", "c", "wrong secret", 0.0)
    assert circuits.why_open("other", "c", 0.0) is None


def test_a_grant_that_was_looked_at_closes_it() -> None:
    """The provider knows the client again."""
    circuits = Circuits(1.0)
    circuits.refused("billit", "c", "wrong secret", 0.0)
    circuits.known("billit")
    assert circuits.why_open("billit", "c", 0.0) is None
    assert circuits.refused("billit", "c", "wrong secret", 0.0) == 1.0
