"""The sandbox's login page takes the connect link that Billit's document shows."""

from __future__ import annotations

import tomllib
from pathlib import Path
from urllib.parse import quote

import pytest
from yarl import URL

from everbearer.sandbox import LoginRefused

pytestmark = pytest.mark.asyncio

SEED = tomllib.loads(Path(__file__).with_name("billit.toml").read_text("utf-8"))
HOST = "https://my.sandbox.billit.be"
REDIRECT = "https://app.example/callback"


def link(sandbox, *, redirect=REDIRECT, state="s-1", **others):
    """The documented connect link; None leaves a parameter out."""
    filled = {
        "client_id": sandbox.settings.client_id,
        "redirect_uri": redirect,
        "state": state,
        **others,
    }
    url = URL(SEED["login"]["url"].partition("?")[0].replace(HOST, sandbox.url))
    return str(url.with_query({k: v for k, v in filled.items() if v is not None}))


async def test_connect_link_is_shown(sandbox, http):
    """The documented link leads to a page with a choice."""
    url = SEED["login"]["url"].format(
        CLIENTID=sandbox.settings.client_id,
        REDIRECTURI=quote(REDIRECT, safe=""),
        STATE="s-1",
    )
    async with http.get(URL(url.replace(HOST, sandbox.url), encoded=True)) as answer:
        assert answer.status == 200
        page = await answer.text()
    assert ">Allow</button>" in page
    assert ">Deny</button>" in page


async def test_allow(sandbox):
    """Allow brings the user back with a code, and with the state."""
    back = URL(await sandbox.approve(link(sandbox), "acme"))
    name = SEED["callback"]["allowed"].partition("=")[0]
    assert str(back.with_query(None)) == REDIRECT
    assert set(back.query) == {name, "state"}
    assert back.query["state"] == "s-1"


async def test_deny(sandbox):
    """Deny brings the user back with the documented error, and with the state."""
    back = URL(await sandbox.deny(link(sandbox)))
    name, _, value = SEED["callback"]["denied"].partition("=")
    assert back.query == {name: value, "state": "s-1"}


async def test_state_is_optional(sandbox):
    """Nothing is invented where the link has no state."""
    back = URL(await sandbox.approve(link(sandbox, state=None)))
    assert set(back.query) == {"code"}


@pytest.mark.parametrize(
    ("state", "returned"),
    [("a&b=c", "a"), ("a;b=c", "a;b=c"), ("&a", ""), ("æ ø+%26", "æ ø+%26")],
    ids=["cut", "other-separator", "nothing-left", "hostile"],
)
async def test_state_is_cut(sandbox, state, returned):
    """What follows "&" "will not be returned in the state"; the rest is whole."""
    back = URL(await sandbox.approve(link(sandbox, state=state)))
    assert back.query["state"] == returned


@pytest.mark.parametrize("decision", ["allow", "deny"])
async def test_login_without_client_id(sandbox, http, decision):
    """A missing client_id is an "Invalid OAuth2 request", seen and pressed."""
    url = link(sandbox, client_id=None)
    for answer in (
        await http.get(url),
        await http.post(url, data={"decision": decision}, allow_redirects=False),
    ):
        assert answer.status == 400
        assert SEED["login"]["without_client_id"] in await answer.text()


async def test_login_without_redirect_uri(sandbox, http):
    """A missing redirect_uri is the default login page, which leads nowhere."""
    url = link(sandbox, redirect=None)
    async with http.get(url) as answer:
        assert answer.status == 200
        assert "<form" not in await answer.text()
    with pytest.raises(LoginRefused, match="redirect_uri"):
        await sandbox.approve(url)


REFUSED_LINKS = {
    "response-type": {"response_type": "code"},
    "scope": {"scope": "all"},
    "pkce": {"code_challenge": "x", "code_challenge_method": "S256"},
    "unknown-client": {"client_id": "nobody"},
    "empty-client": {"client_id": ""},
    "unregistered": {"redirect": "https://elsewhere.example/callback"},
    "prefix-of-registered": {"redirect": f"{REDIRECT}/more"},
    "other-scheme": {"redirect": REDIRECT.replace("https", "http")},
    "with-a-query": {"redirect": f"{REDIRECT}?customer=1"},
    "with-a-bare-question-mark": {"redirect": f"{REDIRECT}?"},
    "with-a-fragment": {"redirect": f"{REDIRECT}#top"},
    "loopback-with-a-query": {"redirect": "http://127.0.0.1:9/cb?a=b"},
    "no-web-address": {"redirect": "javascript:alert(1)"},
    "no-address": {"redirect": "http://[::1"},
    "impossible-port": {"redirect": "http://127.0.0.1:99999/cb"},
    "empty-redirect": {"redirect": ""},
}


@pytest.mark.parametrize("wrong", REFUSED_LINKS.values(), ids=REFUSED_LINKS)
async def test_refused_link(sandbox, http, wrong):
    """A link that the document does not show sends nobody anywhere."""
    url = link(sandbox, **wrong)
    with pytest.raises(LoginRefused):
        await sandbox.approve(url)
    with pytest.raises(LoginRefused):
        await sandbox.deny(url)
    async with http.get(url) as answer:
        assert answer.status == 400
        assert "<form" not in await answer.text()


async def test_repeated_parameter(sandbox):
    """A parameter that comes twice could be read either way: refused."""
    with pytest.raises(LoginRefused, match="twice"):
        await sandbox.approve(link(sandbox) + "&state=s-2")


@pytest.mark.parametrize(
    "redirect",
    ["http://127.0.0.1:8000/cb", "http://localhost/cb", "http://[::1]:9/cb"],
    ids=["ipv4", "name", "ipv6"],
)
async def test_loopback_redirect(sandbox, redirect):
    """Any loopback address will do, so that a program can be tried out."""
    back = await sandbox.approve(link(sandbox, redirect=redirect))
    assert back.startswith(f"{redirect}?code=")


async def test_wildcard_redirect(sandbox):
    """Other addresses need "a wildcard ... set on the Billit side first"."""
    wanted = link(sandbox, redirect=f"{REDIRECT}/customer-1")
    with pytest.raises(LoginRefused):
        await sandbox.approve(wanted)
    sandbox.settings.redirect_uris = (f"{REDIRECT}/*",)
    assert "code=" in await sandbox.approve(wanted)
