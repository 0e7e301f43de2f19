"""Every provider that is offered, and what its documentation says of its answers."""

from __future__ import annotations

import base64
import importlib
import inspect
import io
import json
import re
import tokenize
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from yarl import URL

from everbearer import Registration, providers
from everbearer.authorization._request import authorization_url
from everbearer.token_endpoint import CodeGrant, RefreshGrant, Revocation
from everbearer.token_endpoint._request import token_request

OFFERED = {
    name: offered
    for name in providers.__all__
    if isinstance(offered := getattr(providers, name), providers.Provider)
}
ENVIRONMENTS = [
    pytest.param(provider.in_environment(environment), id=f"{name}-{environment}")
    for name, provider in OFFERED.items()
    for environment in provider.hosts
]
CLIENT_ID, SECRET = "my id", "client:secret/1234567890"
CODE, VERIFIER = "the-code-of-this-user", "verifier-verifier-verifier"
REFRESH_TOKEN = "refresh-token-of-acme/+="
REDIRECT = "https://app.example/callback"


def registered(provider, **options):
    return Registration(provider, CLIENT_ID, SECRET, REDIRECT, **options)


def parameters(request):
    """The body of a token request, whatever its encoding."""
    if request.headers["Content-Type"] == "application/json":
        return json.loads(request.body)
    pairs = parse_qsl(request.body.decode(), keep_blank_values=True)
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


# ---- of every one


@pytest.mark.parametrize("provider", ENVIRONMENTS)
def test_hosts(provider):
    """Base URLs are https, with no query and no slash that paths would double."""
    for base in (provider.base.login, provider.base.token, provider.base.api):
        url = URL(base)
        assert (url.scheme, url.query_string, url.fragment) == ("https", "", "")
        assert not base.endswith("/")
    calls = (provider.exchange, provider.refresh, provider.revoke)
    for path in (provider.authorize.path, *(call.path for call in calls if call)):
        assert path.startswith(("/", "https://"))
        assert "//" not in path.removeprefix("https://")


@pytest.mark.parametrize("provider", ENVIRONMENTS)
def test_connect_link(provider):
    """It has all that RFC 6749 asks for, under the provider's names."""
    link = authorization_url(
        registered(provider),
        state="a-state",
        code_challenge="a-challenge" if provider.pkce else None,
        scopes=("one", "two"),
    )
    asked = {k: v[0] for k, v in parse_qs(urlsplit(link).query).items()}
    assert link.startswith(provider.base.login + provider.authorize.path)
    wanted = dict(provider.authorize.fixed) | {
        "client_id": CLIENT_ID,
        "state": "a-state",
        "scope": provider.authorize.scope_separator.join(("one", "two")),
        provider.authorize.redirect_uri_name: REDIRECT,
    }
    if provider.authorize.response_type:
        wanted["response_type"] = provider.authorize.response_type
    if provider.pkce:
        wanted |= {"code_challenge": "a-challenge"}
        wanted |= {"code_challenge_method": provider.pkce}
    assert asked == wanted


@pytest.mark.parametrize("provider", ENVIRONMENTS)
def test_token_calls(provider):
    """Each is below the token host, with the grant and one way of authentication."""
    verifier = VERIFIER if provider.pkce else None
    for call, grant in (
        (provider.exchange, CodeGrant(CODE, REDIRECT, verifier)),
        (provider.refresh, RefreshGrant(REFRESH_TOKEN)),
        (provider.revoke, Revocation(REFRESH_TOKEN)),
    ):
        if call is None:
            continue
        request = token_request(registered(provider), grant, SECRET)
        sent = parameters(request)
        wanted = call.path if "://" in call.path else provider.base.token + call.path
        assert request.url == wanted
        assert sent[call.grant_name] == getattr(
            grant, "code", REFRESH_TOKEN if call is not provider.exchange else None
        )
        in_body = sent.get("client_secret") == SECRET
        assert in_body is (call.client_authentication == "client_secret_post")
        in_header = "Authorization" in request.headers
        assert in_header is (call.client_authentication == "client_secret_basic")
        for secret in (SECRET, CODE, VERIFIER, REFRESH_TOKEN):
            assert secret not in repr(request)


@pytest.mark.parametrize("provider", OFFERED.values(), ids=OFFERED)
def test_times(provider):
    """Lifetimes, window, minimum age and leeway fit together."""
    lifetime = provider.answer.default_lifetime
    for seconds in (lifetime, provider.refresh_idle_lifetime):
        assert seconds is None or seconds > 0
    assert provider.leeway > 0
    assert provider.replay_window >= 0
    if provider.minimum_age:
        # Otherwise a token would be asked for too early whenever it is stale.
        assert lifetime is not None
        assert provider.minimum_age + provider.leeway <= lifetime
    if provider.rotation == "never":
        assert provider.replay_window == 0


@pytest.mark.parametrize("name", OFFERED)
def test_provenance(name):
    """A description says where it is from, beside the fields that are unusual."""
    provider = OFFERED[name]
    module = importlib.import_module(f"everbearer.providers.{provider.name}")
    assert getattr(module, name) is provider
    source = inspect.getsource(module)
    comments = [
        token.string
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type is tokenize.COMMENT
    ]
    said = (module.__doc__ or "") + " ".join(comments)
    assert re.search(r"Seed|Sources", said)
    assert re.search(r"unknown|not documented", said)
    cited = re.findall(r"[\w-]+\.(?:com|se|eu|dev)\b|[\w-]+/[\w-]+#\d+|[Ss]eed", said)
    assert len(cited) >= 2, "name the page, or the repository"


# ---- what their documents say


@pytest.mark.parametrize(
    ("name", "url", "how", "encoding"),
    [
        ("exact_online", "https://start.exactonline.nl/api/oauth2/token", "basic", 0),
        ("fortnox", "https://apps.fortnox.se/oauth-v1/token", "basic", 0),
        ("freeagent", "https://api.freeagent.com/v2/token_endpoint", "basic", 0),
        ("freshbooks", "https://api.freshbooks.com/auth/oauth/token", "post", 0),
        ("moneybird", "https://moneybird.com/oauth/token", "post", 0),
        (
            "quickbooks",
            "https://oauth.platform.intuit.com/oauth2/v1/tokens/bearer",
            "basic",
            0,
        ),
        ("sage_accounting", "https://oauth.accounting.sage.com/token", "post", 0),
        ("teamleader", "https://focus.teamleader.eu/oauth2/access_token", "post", 0),
        ("xero", "https://identity.xero.com/connect/token", "basic", 0),
        ("zoho_books", "https://accounts.zoho.com/oauth/v2/token", "post", 0),
        ("billit", "https://api.billit.be/OAuth2/token", "post", 1),
    ],
    ids=lambda value: value if isinstance(value, str) and "/" not in value else "",
)
def test_refresh_request(name, url, how, encoding):
    """The refresh request is the published one, to the byte."""
    grant = RefreshGrant(REFRESH_TOKEN)
    request = token_request(registered(OFFERED[name.upper()]), grant, SECRET)
    wanted = {"grant_type": "refresh_token", "refresh_token": REFRESH_TOKEN}
    headers = {"Accept": "application/json"}
    if how == "post":
        wanted |= {"client_id": CLIENT_ID, "client_secret": SECRET}
    else:
        pair = base64.b64encode(b"my%20id:client%3Asecret%2F1234567890").decode()
        headers["Authorization"] = f"Basic {pair}"
    kind = "json" if encoding else "x-www-form-urlencoded"
    assert request.headers == headers | {"Content-Type": f"application/{kind}"}
    assert (request.url, parameters(request)) == (url, wanted)


@pytest.mark.parametrize(
    ("name", "url", "encoding", "body"),
    [
        pytest.param(
            "FORTNOX",
            "https://apps.fortnox.se/oauth-v1/revoke",
            "form",
            {"token", "token_type_hint"},
            id="fortnox",
        ),
        pytest.param(
            "QUICKBOOKS",
            "https://developer.api.intuit.com/v2/oauth2/tokens/revoke",
            "json",
            {"token"},
            id="quickbooks",
        ),
        pytest.param(
            "FRESHBOOKS",
            "https://api.freshbooks.com/auth/oauth/revoke",
            "json",
            {"token", "client_id", "client_secret"},
            id="freshbooks",
        ),
        pytest.param(
            "ZOHO_BOOKS",
            "https://accounts.zoho.com/oauth/v2/token/revoke",
            "form",
            {"token", "client_id", "client_secret"},
            id="zoho",
        ),
        pytest.param(
            "XERO",
            "https://identity.xero.com/connect/revocation",
            "form",
            {"token", "token_type_hint"},
            id="xero",
        ),
        pytest.param(
            "SAGE_ACCOUNTING",
            "https://oauth.accounting.sage.com/revoke",
            "form",
            {"token", "token_type_hint", "client_id", "client_secret"},
            id="sage",
        ),
    ],
)
def test_revocation_request(name, url, encoding, body):
    """A revocation is sent where and as it is published."""
    request = token_request(
        registered(OFFERED[name]), Revocation(REFRESH_TOKEN), SECRET
    )
    assert request.url == url
    assert set(parameters(request)) == body
    assert encoding in request.headers["Content-Type"]


def test_data_centres_keep_together():
    """At Zoho and Exact a token of one place is never sent to another's hosts."""
    for name, ending in (("eu", ".eu"), ("in", ".in"), ("jp", ".jp"), ("ca", ".ca")):
        base = providers.ZOHO_BOOKS.in_environment(name).base
        for url in (base.login, base.token, base.api):
            assert URL(url).host.endswith(ending)
    for environment in providers.EXACT_ONLINE.hosts:
        base = providers.EXACT_ONLINE.in_environment(environment).base
        assert base.login == base.token == base.api


def test_a_sandbox_registration_has_other_hosts():
    """Where a provider has a sandbox, its API host is another one."""
    for provider in (providers.QUICKBOOKS, providers.FREEAGENT, providers.BILLIT):
        sandbox = provider.in_environment("sandbox")
        assert URL(sandbox.base.api).host != URL(provider.base.api).host
        assert SECRET not in repr(registered(sandbox))
