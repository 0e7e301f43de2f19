"""The page a person sees: what it shows, and what it makes of hostile names."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from yarl import URL

from everbearer.sandbox import LoginRefused

pytestmark = pytest.mark.asyncio

REDIRECT = "http://127.0.0.1:9/callback"
HOSTILE = '"><script>alert(1)</script>&amp; {client} %s \u202e'


class Page(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def every(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(name="link")
def _link(sandbox):
    """A good connect link; further parameters replace its own."""

    def link(**changes):
        query = {
            "client_id": sandbox.settings.client_id,
            "redirect_uri": REDIRECT,
            "state": "s-1",
            **changes,
        }
        return str(URL(f"{sandbox.url}/Account/Logon").with_query(query))

    return link


async def shown(caller, url):
    """The page at *url*."""
    answer = await caller("GET", url)
    assert answer.headers["Content-Type"].startswith("text/html")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    return Page(answer.body.decode())


async def test_page(sandbox, caller, link):
    """One form that posts to the link itself, with Allow, Deny and a labelled field."""
    page = await shown(caller, link())
    assert page.every("form") == [{"method": "post"}]
    assert [(b["name"], b["value"]) for b in page.every("button")] == [
        ("decision", "allow"),
        ("decision", "deny"),
    ]
    labelled = {label["for"] for label in page.every("label")}
    assert labelled == {field["id"] for field in page.every("input")}
    assert page.every("html") == [{"lang": "en"}]
    assert "sandbox" in page.text
    (field,) = page.every("input")
    assert field["value"] == sandbox.settings.default_company


async def test_companies_to_choose(sandbox, caller, link):
    """Those that have a grant are offered, each once."""
    for company in ("acme", "other", "acme"):
        sandbox.issue(company)
    page = await shown(caller, link())
    assert [each["value"] for each in page.every("option")] == ["acme", "other"]


async def test_hostile_names(sandbox, caller, link):
    """Names of clients and companies stay text, whatever they contain."""
    sandbox.settings.other_clients = {HOSTILE: "secret"}
    sandbox.settings.default_company = HOSTILE
    sandbox.issue(HOSTILE)
    page = await shown(caller, link(client_id=HOSTILE))
    assert page.every("script") == []
    assert [field["value"] for field in page.every("input")] == [HOSTILE]
    assert [field["value"] for field in page.every("option")] == [HOSTILE]
    assert HOSTILE in page.text


@pytest.mark.parametrize("name", ["client_id", "redirect_uri", HOSTILE])
async def test_hostile_link(caller, link, name):
    """What is wrong with a link is told without making it part of the page."""
    page = await shown(caller, link(**{name: HOSTILE}))
    assert page.every("script") == []
    assert "Invalid OAuth2 request" in page.text


async def test_refusal_is_told_in_words(sandbox, link):
    """Headless approval raises what the page says, unescaped."""
    with pytest.raises(LoginRefused, match=r'"><script>') as caught:
        await sandbox.approve(link(**{HOSTILE: "x"}))
    assert HOSTILE.partition(" %s")[0] in str(caught.value)


async def test_the_company_that_was_chosen(sandbox, caller, link):
    """The code is for the company in the form, hostile or not; else the default."""
    for account, company in ((HOSTILE.rstrip("\u202e"), None), (None, "Acme")):
        code = URL(await sandbox.approve(link(), account)).query["code"]
        pair = (await caller.exchange(code, REDIRECT)).document
        told = (await caller.get("/v1/whoami", pair["access_token"])).document
        assert told["company"] == (company or account)


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"decision": "maybe"},
        {"decision": "Allow"},
        {"decision": "allow", "company": "x" * 256},
        {"decision": "allow", "company": "a\nb"},
        {"decision": "allow", "company": "a\x00"},
    ],
    ids=["empty", "maybe", "letter-case", "long", "line-break", "nul"],
)
async def test_form_that_makes_no_sense(sandbox, caller, link, form):
    """No code is issued for it."""
    answer = await caller("POST", link(), data=form)
    assert answer.status == 400
    assert "Location" not in answer.headers
    assert sandbox.ledger.exchanges == 0


async def test_longest_company(sandbox, caller, link):
    """A name of 255 characters is accepted, and deny needs none."""
    assert "code" in URL(await sandbox.approve(link(), "x" * 255)).query
    answer = await caller("POST", link(), data={"decision": "deny", "company": ""})
    assert URL(answer.headers["Location"]).query["error"] == "access_denied"


async def test_way_back(caller, link):
    """A redirect that no cache keeps and no referrer tells of."""
    answer = await caller("POST", link(), data={"decision": "allow"})
    assert answer.status == 302
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Location"].startswith(f"{REDIRECT}?code=")


async def test_a_code_for_each_visit(sandbox, link):
    """Two visits, two codes."""
    one, two = [URL(await sandbox.approve(link())).query["code"] for _ in range(2)]
    assert one != two
