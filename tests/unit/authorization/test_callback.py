"""What comes back from the provider, and what is no callback at all."""

from __future__ import annotations

import pytest
from multidict import MultiDict
from yarl import URL

from everbearer import CallbackError
from everbearer.authorization._callback import read_callback

NAMES = ("code",)


@pytest.mark.parametrize(
    "callback",
    [
        pytest.param("https://app.example/cb?code=c&state=s", id="url"),
        pytest.param("http://proxy:1/other?code=c&state=s", id="another place"),
        pytest.param("/cb?state=s&code=c", id="path only"),
        pytest.param("?code=c&state=s&iss=x&session_state=y", id="query only"),
        pytest.param("https://app.example/cb?code=c&state=s#_=_", id="fragment"),
        pytest.param("/cb?%63ode=%63&state=s", id="percent-encoded"),
        pytest.param(URL("https://app.example/cb?code=c&state=s"), id="yarl"),
        pytest.param({"code": "c", "state": "s", "other": 7}, id="mapping"),
        pytest.param({"code": ["c"], "state": ("s",)}, id="mapping of lists"),
        pytest.param(MultiDict([("code", "c"), ("state", "s")]), id="multidict"),
    ],
)
def test_every_form_of_a_callback(callback):
    """Scheme, host, path and foreign parameters do not matter."""
    values = read_callback(callback, NAMES)
    assert (values.codes, values.state, values.error) == ({"code": "c"}, "s", None)


@pytest.mark.parametrize(
    "callback",
    [
        pytest.param("", id="nothing"),
        pytest.param("https://app.example/cb", id="no query"),
        pytest.param("https://app.example/cb?", id="empty query"),
        pytest.param("?state=s", id="neither code nor error"),
        pytest.param("?code=&state=s", id="empty code"),
        pytest.param("?error=&state=s", id="empty error"),
        pytest.param("?code=c&error=access_denied&state=s", id="code and error"),
        pytest.param("?code=c&code=c&state=s", id="code twice"),
        pytest.param("?code=c&state=s&state=t", id="state twice"),
        pytest.param("?code=&code=c&state=s", id="empty, then full"),
        pytest.param({"code": ["c", "d"], "state": "s"}, id="two codes in a list"),
        pytest.param(MultiDict([("code", "c"), ("code", "d")]), id="multidict twice"),
        pytest.param({"code": 7, "state": "s"}, id="number"),
        pytest.param({"code": b"c", "state": "s"}, id="bytes"),
        pytest.param({"code": None, "state": "s"}, id="null"),
        pytest.param({"code": "c", "state": "\ud800"}, id="half a surrogate pair"),
        pytest.param({"code": "\udc80", "state": "s"}, id="undecodable code"),
        pytest.param("https://[::1?code=c&state=s", id="broken host"),
        pytest.param("?code=" + "c" * 1_000_000 + "&state=s", id="1 MB of code"),
        pytest.param("?" + "&" * 1_000_000 + "code=c&state=s", id="1 MB of nothing"),
        pytest.param({"code": "c" * 1_000_000, "state": "s"}, id="1 MB in a mapping"),
        pytest.param(None, id="None"),
        pytest.param(7, id="a number"),
        pytest.param({}, id="empty mapping"),
    ],
)
def test_what_is_no_callback(callback):
    """Each is CallbackError("malformed"), which says what is wrong and no value."""
    with pytest.raises(CallbackError) as caught:
        read_callback(callback, NAMES)
    assert caught.value.code == "malformed"
    assert caught.value.description
    assert "ccc" not in str(caught.value)


def test_an_error_callback():
    """RFC 6749 section 4.1.2.1: the provider's words, cut to a line."""
    values = read_callback(
        "?error=access_denied&error_description=The+user%0Asaid+no&state=s", NAMES
    )
    assert values.codes == {}
    assert (values.error, values.error_description) == (
        "access_denied",
        "The user said no",
    )


def test_an_error_that_goes_on_and_on_is_cut():
    """It is shown and logged, so it is short."""
    values = read_callback({"error": "e" * 9000, "error_description": "d" * 9000}, ())
    assert values.error is not None
    assert len(values.error) < 300
    assert len(values.error_description) < 300


def test_an_error_that_echoes_the_state_hides_it():
    """State is a secret until it has come back and been used."""
    values = read_callback("?error=oops+canary-s&state=canary-s", NAMES)
    assert values.error == "oops <hidden>"


def test_the_code_has_the_name_that_the_provider_gives_it():
    """Of two providers in one Client, each has its own name for the code."""
    values = read_callback("?authToken=t&state=s", ("code", "authToken"))
    assert values.codes == {"authToken": "t"}


def test_nothing_of_it_is_printed():
    """Code and state are secrets."""
    values = read_callback("?code=canary-c&state=canary-s", NAMES)
    assert "canary" not in repr(values)


APPENDED = [
    pytest.param("?code=c&state=s", id="as usual"),
    pytest.param("?a=1&code=c&state=s", id="ampersand"),
    pytest.param("?a=1?code=c&state=s", id="question mark"),
    pytest.param("?a=1&b=2?code=c&state=s", id="longer query"),
    pytest.param("?a=1?state=s&code=c", id="state first"),
    pytest.param("?a=1?code=c?state=s", id="three"),
    pytest.param("?state=s?code=c", id="after state"),
    pytest.param("?next=/page?code=other&code=c&state=s", id="somebody's text"),
    pytest.param("?next=/page?state=open&code=c&state=s", id="somebody's state"),
    pytest.param("?a=1%3Fcode=c&state=s", id="encoded on the way"),
]


@pytest.mark.parametrize("callback", APPENDED)
@pytest.mark.parametrize(
    "form",
    [
        pytest.param(lambda query: f"http://x/cb{query}", id="url"),
        pytest.param(lambda query: URL(f"http://x/cb{query}"), id="yarl"),
        pytest.param(lambda query: URL(f"http://x/cb{query}").query, id="mapping"),
    ],
)
def test_a_second_question_mark(callback, form):
    """Where that is how a provider appends, what it appended is found."""
    values = read_callback(form(callback), NAMES, NAMES)
    assert (values.codes, values.state, values.error) == ({"code": "c"}, "s", None)


def test_an_error_after_a_second_question_mark():
    """A refusal that is appended like the code is understood like it."""
    values = read_callback("http://x/cb?a=1?error=access_denied", NAMES, NAMES)
    assert values.error == "access_denied"


@pytest.mark.parametrize(
    "callback",
    [
        pytest.param("?code=c?code=d&state=s", id="code twice"),
        pytest.param("?a=1?code=c?code=d&state=s", id="code twice, appended"),
        pytest.param("?state=s?state=t&code=c", id="state twice"),
        pytest.param("?a=1?b=2", id="nothing of ours"),
        pytest.param({"a": b"1?code=c"}, id="bytes"),
        pytest.param({"a": "?" + "code=c?" * 100_000}, id="1 MB"),
    ],
)
def test_a_second_question_mark_excuses_nothing(callback):
    """What is there twice, or not at all, is refused as ever."""
    with pytest.raises(CallbackError) as caught:
        read_callback(callback, NAMES, NAMES)
    assert caught.value.code == "malformed"


def test_elsewhere_a_question_mark_is_text():
    """Where the provider does not append that way, a value is left alone."""
    with pytest.raises(CallbackError):
        read_callback("http://x/cb?a=1?code=c&state=s", NAMES)
    values = read_callback("http://x/cb?code=c?state=t&state=s", NAMES)
    assert values.codes == {"code": "c?state=t"}
