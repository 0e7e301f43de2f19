"""Registrations and descriptions refuse what cannot work, or would leak."""

from __future__ import annotations

import pickle

import pytest

from everbearer import ConfigurationError, Registration
from everbearer.providers import BILLIT, standard_provider

STANDARD = {
    "authorize_url": "https://login.example/oauth/authorize",
    "token_url": "https://login.example/oauth/token",
    "api_base": "https://api.example/v2",
}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param({"client_id": ""}, "client_id", id="no-client-id"),
        pytest.param({"client_secret": None}, "client_secret", id="no-secret"),
        pytest.param(
            {"redirect_uri": "https://app.example/cb?x=1"}, "query", id="query"
        ),
        pytest.param(
            {"redirect_uri": "https://app.example/cb#x"}, "fragment", id="fragment"
        ),
        pytest.param({"redirect_uri": "/callback"}, "absolute", id="relative"),
        pytest.param({"provider": "billit"}, "Provider", id="provider-by-name"),
    ],
)
def test_what_cannot_work_is_refused(arguments: dict[str, object], says: str) -> None:
    """Each mistake is a ConfigurationError that says what to change."""
    valid = {"provider": BILLIT, "client_id": "id", "client_secret": "secret"}
    with pytest.raises(ConfigurationError, match=says):
        Registration(**{**valid, **arguments})


def test_a_public_client_has_no_secret() -> None:
    """Where the provider authenticates no clients, none is asked for."""
    public = standard_provider("p", **STANDARD, client_authentication="none")
    assert Registration(public, "id").secret() is None


def test_http_redirect_uri_warns() -> None:
    """Codes over plain http can be read: a warning, not a refusal."""
    with pytest.warns(UserWarning, match="plain http"):
        Registration(BILLIT, "id", "secret", "http://app.example/cb")


def test_http_redirect_uri_on_loopback_is_silent() -> None:
    """RFC 8252 section 7.3: loopback redirects are plain http."""
    Registration(BILLIT, "id", "secret", "http://127.0.0.1:8765/cb")


@pytest.mark.parametrize("which", ["login", "token", "api"])
def test_secrets_do_not_travel_over_http(which: str) -> None:
    """Plain http is for loopback only."""
    with pytest.raises(ConfigurationError, match="plain http"):
        BILLIT.with_hosts(**{which: "http://billit.example"})


@pytest.mark.parametrize(
    "base", ["http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1"]
)
def test_loopback_may_be_http(base: str) -> None:
    """Sandboxes and tests run on this machine."""
    assert BILLIT.with_hosts(api=base).base.api == base


def test_an_unknown_environment_names_those_that_exist() -> None:
    """The error is the documentation."""
    with pytest.raises(ConfigurationError, match="production, sandbox"):
        BILLIT.in_environment("staging")


def test_with_hosts_keeps_what_is_not_given() -> None:
    """Replacing one base URL leaves the others of the environment."""
    provider = BILLIT.in_environment("sandbox").with_hosts(api="https://proxy.example")
    assert provider.base.api == "https://proxy.example"
    assert provider.base.login == "https://my.sandbox.billit.be"


def test_the_secret_may_be_a_callable() -> None:
    """A rotated secret is picked up, and the fingerprint of the credential moves."""
    secrets = iter(["one", "one", "two"])
    registration = Registration(BILLIT, "id", lambda: next(secrets))
    assert registration.secret() == "one"
    before = registration.credential_fingerprint()
    assert registration.credential_fingerprint() != before


@pytest.mark.parametrize("bad", [lambda: "", lambda: None, lambda: 1 / 0])
def test_a_callable_that_fails_says_so(bad: object) -> None:
    """A vault that is down is a ConfigurationError, not a refused grant."""
    with pytest.raises(ConfigurationError, match="callable"):
        Registration(BILLIT, "id", bad).secret()


def test_no_secret_in_the_repr_and_no_pickle() -> None:
    """A registration prints without its secret and is not pickled."""
    registration = Registration(BILLIT, "id", "s3cret-canary")
    assert "canary" not in repr(registration)
    with pytest.raises(TypeError):
        pickle.dumps(registration)
