"""Servers that nobody here wrote, a browser for their pages, and a wire that breaks."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import pytest_asyncio
from attrs import define, field
from yarl import URL

from everbearer import Client, Registration, Timing
from everbearer.providers import standard_provider

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

HERE = Path(__file__).parent
CALLBACK = "http://127.0.0.1:9/callback"
# Characters that section 2.3.1 of RFC 6749 has encoded, and servers decode apart.
CLIENT_ID = "ever bearer+1"
USERS = [f"user-{number}" for number in range(20)]
# A grace that is short enough for tests, and patience with servers on a busy machine.
TIMING = Timing(
    lease=2.0, deadline=5.0, linger=1.0, grace=0.3, connect=5.0, back_off=0.1
)


# ---- a server


@define(eq=False)
class Served:
    """A running server.

    Attributes:
        url: Where it is.

        paths: Of its authorization, token and revocation endpoints.

        secret: The one client's.

        password: Every user's.

        ledger: One line of JSON for each request.

        django: Whether it is django-oauth-toolkit.

        lenient: Whether a spent refresh token is taken again for a while.
    """

    url: str
    paths: tuple[str, str, str]
    secret: str = field(repr=False)
    password: str = field(repr=False)
    ledger: Path
    django: bool = False
    lenient: bool = False
    _left: Iterator[str] = field(factory=lambda: iter(USERS))

    def user(self) -> str:
        """One that no other test uses."""
        return next(self._left)

    def mark(self) -> int:
        """Where the ledger ends now."""
        return len(self.ledger.read_text().splitlines())

    def since(self, mark: int, path: str) -> list[dict[str, Any]]:
        """What came to *path* since then."""
        lines = map(json.loads, self.ledger.read_text().splitlines()[mark:])
        return [line for line in lines if line["path"] == path]

    def refreshes(self, mark: int) -> list[dict[str, Any]]:
        """The refreshes since then."""
        calls = self.since(mark, self.paths[1])
        return [call for call in calls if call["grant"] == "refresh_token"]

    async def control(self, deed: str, user: str = "") -> Any:
        """Something that only the server's operator can do."""
        url = URL(f"{self.url}/control/{deed}").with_query(user=user)
        async with aiohttp.ClientSession() as session, session.post(url) as answer:
            assert answer.status == 200
            return await answer.json() if deed == "booked" else None

    def describe(self, token_at: str = "", **options: Any) -> Registration:
        """What a user of the server writes; *token_at* is a wire to it."""
        authorize, token, revoke = self.paths
        provider = standard_provider(
            "shop",
            authorize_url=self.url + authorize,
            token_url=(token_at or self.url) + token,
            revoke_url=self.url + revoke,
            api_base=f"{self.url}/api",
            **{"scopes": ["orders"], **options},
        )
        return Registration(provider, CLIENT_ID, self.secret, CALLBACK)


@contextlib.contextmanager
def started(
    program: str, folder: Path, paths: tuple[str, str, str], **settings: Any
) -> Iterator[Served]:
    """Run *program*, which prints its URL once it listens."""
    secret = f"s:{secrets.token_urlsafe()} +%&é"
    password = secrets.token_urlsafe()
    wanted = settings | {
        "folder": str(folder),
        "client_id": CLIENT_ID,
        "client_secret": secret,
        "redirect_uri": CALLBACK,
        "users": USERS,
        "password": password,
    }
    complaints = folder / "stderr"
    with (
        complaints.open("wb") as stderr,
        subprocess.Popen(
            [sys.executable, HERE / program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        ) as process,
    ):
        process.stdin.write(json.dumps(wanted) + "\n")
        process.stdin.flush()
        url = process.stdout.readline().strip()
        assert url, complaints.read_text()
        yield Served(url, paths, secret, password, folder / "ledger.jsonl")
        process.stdin.close()
    # Whatever the server had to complain of is a finding.
    assert complaints.read_text() == ""


DJANGO_PATHS = ("/o/authorize/", "/o/token/", "/o/revoke_token/")
AUTHLIB_PATHS = ("/oauth/authorize", "/oauth/token", "/oauth/revoke")


@contextlib.contextmanager
def _django(folder: Path, **oauth2: Any) -> Iterator[Served]:
    with started("django_server.py", folder, DJANGO_PATHS, oauth2=oauth2) as served:
        served.django = True
        yield served


@pytest.fixture(scope="session")
def protected(tmp_path_factory) -> Iterator[Served]:
    """Django: a refresh token that comes twice ends its family."""
    with _django(tmp_path_factory.mktemp("protected")) as served:
        yield served


@pytest.fixture(scope="session")
def lenient(tmp_path_factory) -> Iterator[Served]:
    """Django: the same, but for half a minute after the first time."""
    folder = tmp_path_factory.mktemp("lenient")
    with _django(folder, REFRESH_TOKEN_GRACE_PERIOD_SECONDS=30) as served:
        served.lenient = True
        yield served


@pytest.fixture(scope="session")
def brief(tmp_path_factory) -> Iterator[Served]:
    """Django: access tokens of two seconds, and callbacks that name their issuer."""
    folder = tmp_path_factory.mktemp("brief")
    with _django(
        folder,
        ACCESS_TOKEN_EXPIRE_SECONDS=2,
        COMPLIANT_BCP_RFC9700_AUTHZ_RESPONSE_ISS=True,
    ) as served:
        yield served


@pytest.fixture(scope="session")
def authlib(tmp_path_factory) -> Iterator[Served]:
    """Authlib in Flask."""
    folder = tmp_path_factory.mktemp("authlib")
    with started("authlib_server.py", folder, AUTHLIB_PATHS) as served:
        yield served


# ---- a user


class _Form(HTMLParser):
    """The fields of a page's form."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self.buttons: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, pairs: list[tuple[str, str | None]]) -> None:
        attributes = dict(pairs)
        name = attributes.get("name")
        if tag != "input" or not name:
            return
        if attributes.get("type") == "submit":
            self.buttons.add(name)
        else:
            self.fields[name] = attributes.get("value") or ""


async def visit(served: Served, link: str, user: str, *, allow: bool = True) -> str:
    """Log in and allow it, or not; the callback to which the browser is sent."""
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar) as browser:
        url, form = URL(link, encoded=True), None
        for _ in range(10):
            async with browser.request(
                "GET" if form is None else "POST",
                url,
                data=form,
                headers={"Referer": str(url)},
                allow_redirects=False,
            ) as page:
                if page.status in {301, 302, 303}:
                    url, form = url.join(URL(page.headers["Location"])), None
                    if str(url).startswith(CALLBACK):
                        return str(url)
                    continue
                assert page.status == 200, (page.status, await page.text())
                found = _Form(await page.text())
            form = found.fields
            if "password" in form:
                form |= {"username": user, "password": served.password}
            elif allow:
                assert "allow" in found.buttons
                form["allow"] = "Authorize"
    message = "the pages lead nowhere"
    raise AssertionError(message)


async def connect(client: Client, served: Served, user: str) -> None:
    """Connect *user* as a web application would."""
    request = await client.authorization.start("shop", user)
    callback = await visit(served, request.url, user)
    status = await client.authorization.finish(
        callback, state=request.state, account=user
    )
    assert (status.standing, status.scope) == ("connected", "orders")


# ---- a wire


@define(eq=False)
class Wire:
    """Leads to a server, and loses answers on request.

    Attributes:
        url: What a client is told instead of the server's.

        losing: How many of the next answers do not arrive.
    """

    url: str = ""
    losing: int = 0

    async def carry(
        self, to: URL, request: asyncio.StreamReader, answer: asyncio.StreamWriter
    ) -> None:
        """One request and its answer: these servers close after each."""
        reader, writer = await asyncio.open_connection(to.host, to.port)
        with contextlib.closing(answer), contextlib.closing(writer):
            onward = asyncio.create_task(_pour(request, writer))
            # All of it: then the server has done what it was asked for.
            said = await reader.read()
            if self.losing:
                self.losing -= 1
                answer.transport.abort()
            else:
                answer.write(said)
                await answer.drain()
            onward.cancel()


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while said := await reader.read(65536):
        writer.write(said)
        await writer.drain()


@pytest_asyncio.fixture(name="wire")
async def _wire() -> AsyncIterator[Callable[[Served], Any]]:
    """Lay a wire to a server."""
    async with contextlib.AsyncExitStack() as laid:

        async def lay(served: Served) -> Wire:
            wire = Wire()

            async def carry(
                request: asyncio.StreamReader, answer: asyncio.StreamWriter
            ) -> None:
                await wire.carry(URL(served.url), request, answer)

            server = await asyncio.start_server(carry, "127.0.0.1", 0)
            await laid.enter_async_context(server)
            wire.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            return wire

        yield lay


# ---- a program


@pytest.fixture
def store(tmp_path) -> str:
    """A store that Clients share."""
    return f"sqlite:///{tmp_path / 'tokens.db'}"


@pytest_asyncio.fixture(name="opened")
async def _opened(store) -> AsyncIterator[Callable[..., Any]]:
    """A Client on that store."""
    async with contextlib.AsyncExitStack() as stack:

        async def opened(registration: Registration, **options: Any) -> Client:
            client = Client(registration, store=store, timing=TIMING, **options)
            return await stack.enter_async_context(client)

        yield opened


@pytest.fixture(name="connect")
def _connect() -> Callable[..., Any]:
    return connect


@pytest.fixture(name="visit")
def _visit() -> Callable[..., Any]:
    return visit
