"""A header value that reads true on the wire and nowhere else."""

from __future__ import annotations

import copy
import pickle

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from everbearer.transport._bearer import BearerValue

SECRET = "very-secret-token"


@pytest.mark.parametrize(
    "show",
    [
        pytest.param(repr, id="repr"),
        pytest.param(lambda v: f"{v!r}", id="format-r"),
        pytest.param(lambda v: repr(CIMultiDict({"Authorization": v})), id="headers"),
        pytest.param(
            lambda v: str(CIMultiDictProxy(CIMultiDict({"Authorization": v}))),
            id="proxy",
        ),
        pytest.param(lambda v: repr({"Authorization": v}), id="dict"),
        pytest.param(lambda v: pickle.dumps(v).decode("latin-1"), id="pickle"),
    ],
)
def test_hidden(show):
    """No repr, of the value or of headers with it, shows the token."""
    shown = show(BearerValue(SECRET))
    assert "hidden" in shown
    assert SECRET not in shown


def test_true_on_the_wire():
    """As text it is what RFC 6750 section 2.1 asks for, also after a copy."""
    value = BearerValue(SECRET)
    assert str(value) == value == f"Bearer {SECRET}"
    assert copy.deepcopy({"a": value})["a"] is copy.copy(value) is value
    assert value.access_token == SECRET
