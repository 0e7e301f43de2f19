"""The connect link, byte for byte."""

from __future__ import annotations

import pytest

from everbearer import ConfigurationError, Registration
from everbearer.authorization._request import authorization_url
from everbearer.providers import BILLIT, standard_provider


def standard(**options):
    return standard_provider(
        "standard",
        **{
            "authorize_url": "https://login.example/oauth/authorize",
            "token_url": "https://login.example/oauth/token",
            "api_base": "https://api.example/v2",
            **options,
        },
    )


def link(provider, **arguments):
    registration = Registration(
        provider, "my client", "secret", "https://app.example/call back?x=1&y=é"
    )
    return authorization_url(
        registration,
        **{"state": "s1", "code_challenge": None, "scopes": (), **arguments},
    )


@pytest.mark.parametrize(
    ("environment", "host"),
    [("production", "my.billit.be"), ("sandbox", "my.sandbox.billit.be")],
)
def test_billit(environment, host):
    """The seed: client_id, redirect_uri and state; no response_type, no challenge."""
    registration = Registration(
        BILLIT.in_environment(environment), "id", "secret", "https://app.example/cb"
    )
    url = authorization_url(registration, state="s_-1", code_challenge=None, scopes=())
    assert url == (
        f"https://{host}/Account/Logon?client_id=id"
        "&redirect_uri=https%3A%2F%2Fapp.example%2Fcb&state=s_-1"
    )


@pytest.mark.parametrize(
    ("provider", "arguments", "expected"),
    [
        pytest.param(
            standard(),
            {"code_challenge": "c-1", "scopes": ("orders read", "offline+access")},
            "https://login.example/oauth/authorize?response_type=code"
            "&client_id=my%20client"
            "&redirect_uri=https%3A%2F%2Fapp.example%2Fcall%20back%3Fx%3D1%26y%3D"
            "%C3%A9&scope=orders%20read%20offline%2Baccess&state=s1"
            "&code_challenge=c-1&code_challenge_method=S256",
            id="everything",
        ),
        pytest.param(
            standard(authorize_url="https://login.example/go?tenant=7"),
            {},
            "https://login.example/go?tenant=7&response_type=code"
            "&client_id=my%20client&redirect_uri="
            "https%3A%2F%2Fapp.example%2Fcall%20back%3Fx%3D1%26y%3D%C3%A9&state=s1",
            id="the endpoint has a query (RFC 6749 s. 3.1)",
        ),
        pytest.param(
            standard(authorize_params={"prompt": "login", "audience": "a"}),
            {"extra": {"prompt": "consent", "login_hint": "é@x"}},
            "https://login.example/oauth/authorize?prompt=consent&audience=a"
            "&login_hint=%C3%A9%40x&response_type=code"
            "&client_id=my%20client&redirect_uri="
            "https%3A%2F%2Fapp.example%2Fcall%20back%3Fx%3D1%26y%3D%C3%A9&state=s1",
            id="extra wins over the provider's fixed parameters",
        ),
    ],
)
def test_standard(provider, arguments, expected):
    """RFC 6749 section 4.1.1 and RFC 7636 section 4.3, percent-encoded in UTF-8."""
    assert link(provider, **arguments) == expected


@pytest.mark.parametrize(
    "name",
    [
        "client_id",
        "redirect_uri",
        "response_type",
        "scope",
        "state",
        "code_challenge",
        "code_challenge_method",
    ],
)
@pytest.mark.parametrize("pkce", ["S256", None], ids=["pkce", "no pkce"])
def test_extra_overrides_nothing_protected(name, pkce):
    """A state or challenge of the caller's would send the user back to nobody."""
    with pytest.raises(ConfigurationError, match=name):
        link(standard(pkce=pkce), extra={"prompt": "login", name: "mine"})
