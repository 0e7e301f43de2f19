"""A store is closed with the last Client that uses it."""

from __future__ import annotations

import gc

import pytest

from everbearer.stores import hold, let_go


class Plain:
    """Any object will do: nothing is asked of it."""


class Slotted:
    """One that has no weak references."""

    __slots__ = ()


@pytest.mark.parametrize("kind", [Plain, Slotted])
def test_the_last_one_closes_it(kind):
    """Two hold it: only the second that lets go is told to close; and again later."""
    store = kind()
    for _ in range(2):
        hold(store)
        hold(store)
        assert [let_go(store), let_go(store)] == [False, True]


def test_a_forgotten_client_holds_no_other_store():
    """Where a store was that nobody let go of, another one starts from nothing."""
    for _ in range(100):
        gone, others = Plain(), []
        place = id(gone)
        hold(gone)
        del gone
        gc.collect()
        while len(others) < 1000 and (not others or id(others[-1]) != place):
            others.append(Plain())
        if id(others[-1]) == place:
            break
    store = others[-1]
    assert id(store) == place, "no object came to be in its place"
    hold(store)
    assert let_go(store)
