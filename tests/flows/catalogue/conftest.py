"""A server that plays a description: its paths, its words, its rotation, its times."""

from __future__ import annotations

import base64
import json
import secrets
from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
import pytest_asyncio
from aiohttp import web
from attrs import define, field
from yarl import URL

from everbearer import Registration
from everbearer._clock import SystemClock
from everbearer.authorization._pkce import challenge
from everbearer.providers import TokenVerdict, Verdict

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from everbearer.providers import Provider

CLIENT_ID, SECRET = "described-client", "described client:secret"
CALLBACK = "https://app.example/callback"


class MovedClock(SystemClock):
    """The system's clocks, moved ahead by hand; the server's too."""

    ahead = 0.0

    def wall(self) -> float:
        """Move with *ahead*."""
        return super().wall() + self.ahead

    def elapsed(self) -> float:
        """Move with *ahead*."""
        return super().elapsed() + self.ahead


@define
class Pair:
    """What one token response gave."""

    access: str
    refresh: str
    made_at: float
    dead: bool = False
    spent_at: float | None = None
    answer: dict[str, Any] = field(factory=dict)


class DescribedServer:
    """Answers as *provider* says, and counts."""

    def __init__(self, provider: Provider, clock: MovedClock) -> None:
        self.real, self.clock = provider, clock
        self.seen: Counter[str] = Counter()
        self.identities: list[str] = []
        self.revoked: list[str] = []
        self.codes: dict[str, tuple[str | None, str | None]] = {}
        self.pairs: list[Pair] = []
        self.grant_over = self.lose_answer = False
        self.lifetime = provider.answer.default_lifetime
        self.played = provider

    async def start(self) -> web.AppRunner:
        """Listen on a free port; `played` is the description with its hosts there."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.route)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        prefix = URL(self.real.base.api).path.rstrip("/")
        self.played = self.real.with_hosts(self.url, self.url, self.url + prefix)
        self.api = URL(self.url + prefix + "/whoami").path
        return runner

    def approve(self, link: str) -> dict[str, str]:
        """What a user's visit to *link* brings back."""
        described, callback = self.played.authorize, self.played.callback
        asked = {k: v[0] for k, v in parse_qs(urlsplit(link).query).items()}
        assert link.startswith(self.url + described.path)
        assert asked.items() >= dict(described.fixed).items()
        assert asked["client_id"] == CLIENT_ID
        code = secrets.token_urlsafe()
        self.codes[code] = (
            asked.get("code_challenge"),
            asked.get("code_challenge_method"),
        )
        kept = {name: f"{name} chosen" for name in callback.keep_extra}
        return {callback.code_name: code, "state": asked["state"], **kept}

    async def route(self, request: web.Request) -> web.StreamResponse:
        """The API, a revocation, or a token call."""
        played = self.played
        if request.path == self.api:
            return self.call(request)
        assert request.method == "POST"
        body = await request.text()
        if played.revoke and request.path == played.revoke.path:
            sent = self.checked(request, body, played.revoke)
            self.revoked.append(sent[played.revoke.grant_name])
            return web.json_response({})
        assert request.path in {played.exchange.path, played.refresh.path}
        if played.exchange.grant_name in self.parsed(request, body):
            return self.exchange(self.checked(request, body, played.exchange))
        return await self.refresh(request, self.checked(request, body, played.refresh))

    # ---- token calls

    def parsed(self, request: web.Request, body: str) -> dict[str, str]:
        """The parameters, each there once."""
        if request.content_type == "application/json":
            return json.loads(body)
        return dict(parse_qsl(body, strict_parsing=True))

    def checked(self, request: web.Request, body: str, call: Any) -> dict[str, str]:
        """The same, of a request that is as *call* wants it."""
        assert ("json" in request.content_type) is (call.encoding == "json")
        sent = self.parsed(request, body)
        header = request.headers.get("Authorization")
        if call.client_authentication == "client_secret_basic":
            pair = b"described-client:described+client%3Asecret"
            assert header == f"Basic {base64.b64encode(pair).decode()}"
        else:
            assert header is None
            assert (sent["client_id"], sent["client_secret"]) == (CLIENT_ID, SECRET)
        assert sent.items() >= dict(call.fixed).items()
        return sent

    def exchange(self, sent: dict[str, str]) -> web.Response:
        """A code for a first pair (RFC 6749 section 4.1.3, RFC 7636 section 4.6)."""
        wanted, method = self.codes.pop(sent[self.played.exchange.grant_name])
        verifier = sent.get("code_verifier", "")
        assert wanted is None or challenge(verifier, method or "") == wanted
        assert sent["redirect_uri"] == CALLBACK
        return web.json_response(self.issue(secrets.token_urlsafe(), first=True))

    async def refresh(
        self, request: web.Request, sent: dict[str, str]
    ) -> web.StreamResponse:
        """The next pair, if the refresh token, its age and the window allow it."""
        played, now = self.played, self.clock.wall()
        self.seen["token requests"] += 1
        token = sent[played.refresh.grant_name]
        pair = next(each for each in reversed(self.pairs) if each.refresh == token)
        if self.grant_over:
            return self.error(TokenVerdict.REFUSED)
        if pair.spent_at is not None:
            if now - pair.spent_at > played.replay_window:
                self.seen["reuse"] += 1
                return self.error(TokenVerdict.REFUSED)
            self.seen["replays"] += 1
            return web.json_response(pair.answer)
        if now < self.pairs[-1].made_at + played.minimum_age:
            self.seen["too early"] += 1
            return self.error(TokenVerdict.TOO_EARLY)
        self.seen["refreshes"] += 1
        answer = self.issue(self.next_refresh_token(pair), first=False)
        if played.old_access_dies:
            pair.dead = True
        if self.pairs[-1].refresh != pair.refresh:
            pair.spent_at, pair.answer = now, answer
        if self.lose_answer:
            self.lose_answer = False
            assert request.transport is not None
            request.transport.abort()
        return web.json_response(answer)

    def next_refresh_token(self, pair: Pair) -> str:
        """Another at every use, at every second use, or never."""
        again = {"never": True, "every_use": False}.get(self.played.rotation)
        if again is None:
            again = self.seen["refreshes"] % 2 == 1
        return pair.refresh if again else secrets.token_urlsafe()

    def issue(self, refresh: str, *, first: bool) -> dict[str, Any]:
        """A token response under the description's names."""
        reading = self.played.answer
        pair = Pair(secrets.token_urlsafe(), refresh, self.clock.wall())
        self.pairs.append(pair)
        answer: dict[str, Any] = {reading.access_token: pair.access}
        if first or self.played.rotation != "never":
            answer[reading.refresh_token] = refresh
        if self.lifetime is not None and reading.spans:
            answer[reading.spans[0].name] = self.lifetime
        answer |= {span.name: 8_726_400 for span in reading.refresh_spans}
        return answer | {name: f"{name} told" for name in reading.keep_extra}

    def error(self, verdict: TokenVerdict) -> web.Response:
        """A token error in the provider's own dialect."""
        rule = next(each for each in self.played.error_rules if each.verdict is verdict)
        body: Any = min(rule.values)
        for step in reversed(rule.json_path):
            body = {step: body}
        return web.json_response(body, status=min(rule.statuses, default=400))

    # ---- the API

    def call(self, request: web.Request) -> web.Response:
        """Who is asking; or that the token is no good, in the provider's words."""
        for header in self.played.identity_headers:
            self.identities += request.headers.getall(header.name, [])
        scheme, _, token = request.headers["Authorization"].partition(" ")
        assert scheme == self.played.token_scheme
        pair = next(each for each in self.pairs if each.access == token)
        aged = self.lifetime is not None and (
            self.clock.wall() >= pair.made_at + self.lifetime
        )
        if not (pair.dead or aged or self.grant_over):
            self.seen["served"] += 1
            return web.json_response({"company": "acme"})
        self.seen["rejected"] += 1
        signal = next(
            each
            for each in self.played.expiry_signals
            if each.verdict in {Verdict.EXPIRED, Verdict.INVALID}
        )
        body: Any = min(signal.values, default="")
        for step in reversed(signal.json_path):
            body = [body] if step == "*" else {step: body}
        said = signal.www_authenticate_error
        headers = {"WWW-Authenticate": f'Bearer error="{said}"'} if said else {}
        status = min(signal.statuses, default=401)
        return web.json_response(body, status=status, headers=headers)


@pytest.fixture(name="clock")
def _clock() -> MovedClock:
    return MovedClock()


@pytest_asyncio.fixture(name="server")
async def _server(
    described: Provider, clock: MovedClock
) -> AsyncIterator[DescribedServer]:
    server = DescribedServer(described, clock)
    runner = await server.start()
    yield server
    await runner.cleanup()


@pytest.fixture(name="registration")
def _registration(server: DescribedServer) -> Registration:
    return Registration(server.played, CLIENT_ID, SECRET, CALLBACK)
