"""What a Client refuses before it is opened, and what never leaves it."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest

from everbearer import Client, ConfigurationError, Keyring, Registration, Token
from everbearer.providers import BILLIT
from everbearer.stores import MemoryStore


@pytest.fixture(name="registration")
def _registration():
    return Registration(BILLIT, "id", "secret", "https://app.example/cb")


@pytest.fixture(name="client")
def _client(registration):
    return Client(registration, store=MemoryStore())


@pytest.mark.parametrize(
    ("registrations", "says"),
    [
        pytest.param((), "at least one", id="none"),
        pytest.param((BILLIT,), "Registration", id="a provider"),
        pytest.param(("billit",), "Registration", id="a name"),
        pytest.param(
            (Registration(BILLIT, "a", "s"), Registration(BILLIT, "b", "s")),
            "two registrations are named 'billit'.*name=",
            id="one name twice",
        ),
        pytest.param(
            (
                Registration(BILLIT, "a", "s", name="x"),
                Registration(BILLIT.in_environment("sandbox"), "b", "s", name="x"),
            ),
            "two registrations are named 'x'",
            id="one name of their own twice",
        ),
    ],
)
def test_registrations_that_cannot_be_told_apart(registrations, says):
    """A grant is found by its registration's name, so names differ."""
    with pytest.raises(ConfigurationError, match=says):
        Client(*registrations, store=MemoryStore())


def test_two_registrations_at_one_provider():
    """A name of its own keeps the grants of a second client id apart."""
    client = Client(
        Registration(BILLIT, "a", "s"),
        Registration(BILLIT, "b", "s", name="second"),
        store=MemoryStore(),
    )
    assert client.session("billit", "acme").key.provider == "billit"
    assert client.session("second", "acme").key.provider == "second"


@pytest.mark.parametrize(
    ("store", "says"),
    [
        pytest.param("tokens.db", "sqlite:///relative.db", id="a path"),
        pytest.param("", "not a URL", id="empty"),
        pytest.param(None, "not a URL", id="None"),
        pytest.param(7, "not a URL", id="a number"),
        pytest.param(Path("tokens.db"), "URL", id="a Path"),
        pytest.param("sqlite://tokens.db", "three slashes", id="two slashes"),
        pytest.param("sqlite:///", "names no file", id="no file"),
        pytest.param("sqlite:///dir/", "names no file", id="a folder"),
        pytest.param("sqlite:///:memory:", "memory://", id="sqlite in memory"),
        pytest.param("sqlite:///t.db?mode=ro", "no options", id="options"),
        pytest.param("memory://x", "nothing after", id="memory with more"),
        pytest.param("redis://u:canary@h/0", "EVERBEARER_KEYS", id="no key"),
        pytest.param("mysql://u:canary@h/d", "no store is known", id="mysql"),
        pytest.param("u:canary@h://x", "not a URL", id="no scheme"),
    ],
)
def test_a_store_that_is_none(registration, store, says):
    """Each mistake says what a store looks like, and never repeats a password."""
    with pytest.raises(ConfigurationError, match=says) as caught:
        Client(registration, store=store)
    assert "canary" not in str(caught.value)


def test_a_store_has_no_default(registration):
    """Tokens that are forgotten at exit cost users their connection."""
    with pytest.raises(TypeError, match="store"):
        Client(registration)


@pytest.mark.parametrize(
    ("provider", "account", "says"),
    [
        pytest.param("bilit", "acme", "'bilit'.*this Client has: billit", id="name"),
        pytest.param("billit", "", "1 to 255", id="empty"),
        pytest.param("billit", "x" * 256, "1 to 255", id="long"),
        pytest.param("billit", "a\x00b", "control", id="nul"),
        pytest.param("billit", "a\x9bb", "control", id="C1 control"),
        pytest.param("billit", "\ud800", "text", id="half a surrogate pair"),
        pytest.param("billit", None, "text", id="None"),
        pytest.param("billit", 7, "text", id="a number"),
    ],
)
def test_a_session_of_nobody(client, provider, account, says):
    """The mistake is told where it is made, not at the first call."""
    with pytest.raises(ConfigurationError, match=says):
        client.session(provider, account)


def test_a_session_is_cheap_and_usable_before_it_connects(client):
    """It needs no event loop, and no account that is there yet."""
    assert repr(client.session("billit", "acme")) == "AccountSession('billit', 'acme')"


@pytest.mark.parametrize(
    "url",
    [
        "http://billit.example",
        "http://127.0.0.1.example",
        "http://localhost.example",
        "http://127.example:8080/x",
        "http://192.168.0.1",
        "http://[2001:db8::1]",
        "http://0.0.0.0:8080",
        "ftp://billit.example",
        "billit.example",
        "//billit.example",
        "https://",
        "",
        7,
    ],
)
@pytest.mark.parametrize("which", ["login", "token", "api"])
def test_hosts_that_would_leak(which, url):
    """Secrets travel over https, or do not leave this machine."""
    with pytest.raises(ConfigurationError):
        BILLIT.with_hosts(**{which: url or "/"})


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:1", "http://127.8.9.1", "http://localhost", "http://[::1]:1"],
)
def test_hosts_on_this_machine(url):
    """Sandboxes and tests listen on loopback, of which there is more than one."""
    assert BILLIT.with_hosts(url, url, url).base.token == url


@pytest.mark.parametrize(
    ("uri", "warns"),
    [
        pytest.param("http://app.example/cb", True, id="http"),
        pytest.param("http://127.0.0.1.example/cb", True, id="a name like loopback"),
        pytest.param("http://localhost:1/cb", False, id="localhost"),
        pytest.param("https://app.example/cb", False, id="https"),
    ],
)
def test_redirect_over_http_warns(uri, warns):
    """CamInvoice's document has one, so it is a warning and no refusal."""
    if warns:
        with pytest.warns(UserWarning, match="use https"):
            Registration(BILLIT, "id", "secret", uri)
    else:
        Registration(BILLIT, "id", "secret", uri)


@pytest.mark.parametrize(
    "uri", ["http://[", "cb", "//app.example/cb", "app:/cb", "", "https:///cb", 7]
)
def test_redirect_uris_that_are_none(uri):
    """Nobody could be sent back to it."""
    with pytest.raises(ConfigurationError, match="redirect_uri"):
        Registration(BILLIT, "id", "secret", uri)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda client: client, id="Client"),
        pytest.param(lambda client: client.session("billit", "acme"), id="session"),
        pytest.param(lambda client: client.authorization, id="authorization"),
        pytest.param(lambda _: Token("access", "refresh"), id="Token"),
        pytest.param(lambda _: Registration(BILLIT, "id", "secret"), id="Registration"),
        pytest.param(lambda _: Keyring([Keyring.generate_key()]), id="Keyring"),
    ],
)
def test_what_holds_secrets_is_not_pickled(client, make):
    """Pools share a token store between processes, and nothing else."""
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="pickle"):
            pickle.dumps(make(client), protocol)


def test_a_client_is_not_copied(client):
    """A copy would close what the original uses."""
    with pytest.raises(TypeError):
        copy.copy(client)
