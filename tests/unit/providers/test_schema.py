"""What a description says is what requests and answers look like."""

from __future__ import annotations

import pytest
from attrs import evolve

from everbearer.providers import TokenAnswer, standard_provider
from everbearer.token_endpoint._response import classify
from everbearer.transport._bearer import BearerValue

NOW = 1_800_000_000.0


def described(**options):
    return standard_provider(
        "std",
        authorize_url="https://login.example/oauth/authorize",
        token_url="https://id.example/oauth/token",
        api_base="https://api.example/v2",
        **options,
    )


@pytest.mark.parametrize(
    ("url", "path", "moved"),
    [
        pytest.param("https://id.example/revoke", "/revoke", "/revoke", id="beside"),
        pytest.param(
            "https://other.example/v2/revoke?a=1",
            "https://other.example/v2/revoke?a=1",
            "/v2/revoke?a=1",
            id="elsewhere",
        ),
    ],
)
def test_a_revocation_follows_the_token_host(url, path, moved):
    """A sandbox's grant is never sent to the real host, wherever that revokes."""
    provider = described(revoke_url=url)
    assert provider.revoke.path == path
    assert provider.with_hosts(api="http://127.0.0.1:1").revoke.path == path
    assert provider.with_hosts(token="http://127.0.0.1:1").revoke.path == moved


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        pytest.param(b'{"access_token": "a", "refresh_token": "r"}', 60.0, id="silent"),
        pytest.param(
            b'{"access_token": "a", "refresh_token": "r", "x": 7}', 7.0, id="said"
        ),
        pytest.param(b'{"access_token": "a"}', 60.0, id="no-new-one"),
    ],
)
def test_the_end_of_a_refresh_token(body, seconds):
    """Every token request prolongs it, and what the answer says comes first."""
    spans = tuple(evolve(span, name="x") for span in TokenAnswer().spans)
    provider = evolve(
        described(),
        answer=TokenAnswer(refresh_spans=spans),
        refresh_idle_lifetime=60.0,
    )
    token = classify(
        provider,
        status=200,
        headers={"Content-Type": "application/json"},
        body=body,
        asked_at=NOW,
        now=NOW,
    ).token
    ends = token.refresh_expires_at
    assert (ends and ends.timestamp() - NOW) == seconds


def test_another_scheme_hides_the_token_too():
    """The header is as the provider wants it, its repr as ever."""
    value = BearerValue("an-access-token", "Zoho-oauthtoken")
    assert value == "Zoho-oauthtoken an-access-token"
    assert "an-access-token" not in repr(value)
