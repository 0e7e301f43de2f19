"""A callback with anything in it: what was sent comes out, or it is malformed."""

from __future__ import annotations

from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from everbearer import CallbackError
from everbearer.authorization._callback import read_callback

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
VALUE = TEXT.filter(bool)
NAMES = ("code", "authToken")
KEPT = ("supportCode",)
# Of parameters that nobody asked for.
OTHERS = st.dictionaries(TEXT.map("x{}".format), TEXT, max_size=3)
SECRET = "the-code-nobody-sees"


def read(callback):
    """As a Client with several providers reads it."""
    return read_callback(callback, NAMES, ("authToken",), KEPT)


def refusal(callback):
    """The error that it is refused with; none where it reads."""
    try:
        read(callback)
    except CallbackError as error:
        return error
    return None


@given(
    code=VALUE.filter(lambda code: "?" not in code),
    state=VALUE.filter(lambda state: "?" not in state),
    kept=TEXT.filter(lambda kept: "?" not in kept),
    others=OTHERS,
    write=st.sampled_from([quote, quote_plus]),
)
def test_what_was_sent_comes_out(code, state, kept, others, write):
    """Through a URL or as a mapping, in any order, beside any other parameters."""
    values = {**others, "code": code, "supportCode": kept, "state": state}
    query = urlencode(values, quote_via=write)
    for callback in (f"https://app.example/cb?{query}", f"/cb?{query}#x", values):
        found = read(callback)
        assert found.codes == {"code": code}
        assert found.state == state
        assert found.extra == {"supportCode": kept}
        assert found.error is None


@example(error="\x01", description="", state="", others={})
@given(error=VALUE, description=TEXT, state=TEXT, others=OTHERS)
def test_an_error_is_told_in_one_line(error, description, state, others):
    """Whatever the provider says, or whoever made the link up, it can be logged."""
    values = {"error": error, "error_description": description, "state": state}
    found = read({**others, **values})
    assert found.error
    for text in (found.error, found.error_description):
        assert text.isprintable()
        assert len(text) <= 203


@given(url=st.text(max_size=200) | st.binary(max_size=200))
def test_any_text(url):
    """It is a callback or it is malformed; nothing else comes out of it."""
    error = refusal(url)
    assert error is None or error.code == "malformed"


@given(
    name=st.sampled_from(["code", "state", "error", "supportCode"]),
    value=TEXT,
    again=TEXT,
)
def test_a_value_that_is_there_twice(name, value, again):
    """RFC 6749 section 3.1: nobody chooses which of them counts."""
    query = urlencode([("code", "c"), ("state", "s"), (name, value), (name, again)])
    assert refusal(f"/cb?{query}").code == "malformed"


ODD = st.text() | st.none() | st.integers() | st.lists(TEXT, max_size=2)


@given(
    values=st.fixed_dictionaries(
        {},
        optional={
            **dict.fromkeys((*NAMES, "state"), ODD | st.just(SECRET)),
            **dict.fromkeys((*KEPT, "error"), ODD),
            "error_description": ODD | st.just(f"no such code: {SECRET}"),
        },
    )
)
def test_any_mapping(values):
    """Malformed or not, no text shows what is secret in it; the rest can be sent."""
    error = refusal(values)
    if error is not None:
        assert error.code == "malformed"
        assert SECRET not in str(error)
        return
    found = read(values)
    assert bool(found.codes) != (found.error is not None)
    # Who echoes what was not in the same callback tells us nothing that we hold.
    if SECRET in (found.state, *found.codes.values()):
        assert SECRET not in repr(found)
    for text in (*found.codes.values(), found.state or "", *found.extra.values()):
        text.encode()


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "callback",
    [
        pytest.param("?" + "&" * 10**6, id="separators"),
        pytest.param("?" + "code=c&" * 10**5, id="codes"),
        pytest.param("?state=" + "?authToken=" * 5000, id="question marks"),
        pytest.param("?x=" + "%" * 60_000, id="percent signs"),
        pytest.param("//[" + ":" * 60_000, id="no host"),
        pytest.param({"code": ["c"] * 10**5}, id="a list"),
    ],
)
def test_a_callback_made_to_be_slow(callback):
    """Anything worse than time in proportion would run into the test's timeout."""
    assert refusal(callback).code == "malformed"
