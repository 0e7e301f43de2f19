"""Whatever the credentials are, the server reads them as they are."""

from __future__ import annotations

import base64
import json
from urllib.parse import parse_qs, unquote_plus

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from everbearer import Registration
from everbearer.providers import standard_provider
from everbearer.token_endpoint import CodeGrant, RefreshGrant, token_request

STANDARD = standard_provider(
    "standard",
    authorize_url="https://login.example/authorize",
    token_url="https://login.example/token",
    api_base="https://api.example",
)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
METHOD = st.sampled_from(["client_secret_basic", "client_secret_post"])
ENCODING = st.sampled_from(["form", "json"])


def described(encoding, method):
    """A provider that wants its token calls so."""
    provider = STANDARD.with_encoding(encoding)
    return evolve(
        provider,
        exchange=evolve(provider.exchange, client_authentication=method),
        refresh=evolve(provider.refresh, client_authentication=method),
    )


def members(request, encoding):
    """The parameters as a server reads them."""
    if encoding == "json":
        return json.loads(request.body)
    read = parse_qs(
        request.body.decode("ascii"),
        keep_blank_values=True,
        strict_parsing=True,
        errors="strict",
    )
    assert all(len(values) == 1 for values in read.values())
    return {name: values[0] for name, values in read.items()}


@given(encoding=ENCODING, method=METHOD, grant=TEXT, client_id=TEXT, secret=TEXT)
def test_the_server_reads_what_was_meant(encoding, method, grant, client_id, secret):
    """No character of a token or a secret ends a parameter, a header or the request."""
    registration = Registration(described(encoding, method), client_id, secret)
    request = token_request(registration, RefreshGrant(grant), secret)
    wanted = {"grant_type": "refresh_token", "refresh_token": grant}
    if method == "client_secret_post":
        wanted |= {"client_id": client_id, "client_secret": secret}
    else:
        pair = request.headers["Authorization"].removeprefix("Basic ")
        name, _, password = base64.b64decode(pair, validate=True).partition(b":")
        assert unquote_plus(name.decode()) == client_id
        assert unquote_plus(password.decode()) == secret
    assert members(request, encoding) == wanted
    for value in request.headers.values():
        assert value.isascii()
        assert value.isprintable()


@given(encoding=ENCODING, code=TEXT, verifier=st.none() | TEXT, uri=st.none() | TEXT)
def test_a_code_too(encoding, code, verifier, uri):
    """What came through a browser is passed on as it came, and no more than that."""
    registration = Registration(described(encoding, "client_secret_basic"), "id", "s")
    request = token_request(registration, CodeGrant(code, uri, verifier), "s")
    optional = {"redirect_uri": uri, "code_verifier": verifier}
    assert members(request, encoding) == {
        "grant_type": "authorization_code",
        "code": code,
        **{name: value for name, value in optional.items() if value is not None},
    }


@given(encoding=ENCODING, method=METHOD, grant=TEXT, secret=TEXT)
def test_every_secret_is_known_as_it_was_sent(encoding, method, grant, secret):
    """Whoever echoes the body or the header echoes something that will be hidden."""
    registration = Registration(described(encoding, method), "id", secret)
    request = token_request(registration, RefreshGrant(grant), secret)
    sent = request.body.decode()
    assert any(known in sent for known in request.secrets)
    assert {grant, secret} <= set(request.secrets)
    for known in request.secrets:
        sent = sent.replace(known, "")
    assert grant not in sent or len(grant) < 4
    assert repr(request) == f"TokenRequest(url={request.url!r})"
    if "Authorization" in request.headers:
        assert request.headers["Authorization"].removeprefix("Basic ") in (
            request.secrets
        )
