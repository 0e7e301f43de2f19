"""Billit's token endpoint: a JSON POST in, a pair of tokens or a refusal out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from hmac import compare_digest
from typing import TYPE_CHECKING, Any

from aiohttp import web
from attrs import evolve, field, frozen

from everbearer.sandbox._answer import JSON, Answer, deliver, spoil
from everbearer.sandbox._billit import (
    TOKEN_PARAMETERS,
    token_error,
    token_response,
)
from everbearer.sandbox._connection import Connection
from everbearer.sandbox._grants import GONE, Code, Pair, Presentation, RefreshToken
from everbearer.sandbox._ledger import TokenRequest

if TYPE_CHECKING:
    from everbearer.sandbox._world import World
    from everbearer.sandbox.faults import Fault

__all__ = ["TokenEndpoint"]


@frozen(eq=False)
class _Asked:
    """A token request as it arrived: what it names, or the *problem* with it."""

    record: TokenRequest
    params: Mapping[str, Any] = field(repr=False)
    problem: str | None
    code: Code | None
    token: RefreshToken | None

    @property
    def company(self) -> str | None:
        if self.token is not None:
            return self.token.grant.company
        return None if self.code is None else self.code.company


@frozen(eq=False)
class _Presented:
    """How a refresh token was presented: the name, and the doubt that excused it."""

    name: Presentation
    doubt: str
    was_spent: bool


@frozen(eq=False)
class _Outcome:
    """The true answer, and the pair that it holds."""

    answer: Answer
    pair: Pair | None = None


def _refused(code: str, description: str, status: int = 400) -> _Outcome:
    return _Outcome(Answer.of(token_error(code, description), status, code))


class TokenEndpoint:
    """``POST /OAuth2/token``."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one token request, by the script or by the truth."""
        asked = await self._read(request)
        counted = tuple(self._world.ledger.figures(asked.company))
        for figures in counted:
            figures.came()
        try:
            return await self._answer(request, asked)
        finally:
            for figures in counted:
                figures.went()

    async def _read(self, request: web.Request) -> _Asked:
        params, problem = _parameters(request, await request.read())
        grant_type = params.get("grant_type")
        return _Asked(
            TokenRequest(None, grant_type, params, request.headers, request.cookies),
            params,
            problem,
            self._world.grants.code(params.get("code", "")),
            self._world.grants.refresh_token(params.get("refresh_token", "")),
        )

    async def _answer(self, request: web.Request, asked: _Asked) -> web.StreamResponse:
        world, connection = self._world, Connection(request)
        record = evolve(asked.record, company=asked.company)
        fault = world.script.take("token", asked.company, grant_type=record.grant_type)
        presented = self._present(asked, connection)
        outcome = await self._take_effect(asked, fault, presented, connection)
        answer = outcome.answer if outcome else None
        if fault is not None:
            record = evolve(record, fault=fault.kind)
            answer = spoil(fault, answer)
            _doubt(asked, connection, _cause(fault, presented))
        assert answer is not None  # noqa: S101 - only a fault leaves no outcome
        if fault is not None and fault.drop:
            world.ledger.token_request(record, None, None)
            connection.drop()
            self._settle(asked, connection, excused=True)
            return web.Response()
        # Noted before the bytes leave: the client's next request may overtake us.
        world.ledger.token_request(record, answer.status, answer.error)
        size = fault.size if fault else 0
        response, read = await deliver(request, answer, size=size)
        excused = read or (fault is not None and fault.ambiguous)
        self._settle(asked, connection, excused=excused)
        if read and outcome and outcome.pair and asked.token is not None:
            world.script.answered(connection, asked.token, outcome.pair)
        return response

    def _present(self, asked: _Asked, connection: Connection) -> _Presented | None:
        """Name this presentation of a refresh token, and enter it in the ledger."""
        ledger, token = self._world.ledger, asked.token
        if token is None or self._refusal(asked) is not None:
            return None
        company, was_spent = token.grant.company, token.spent_at is not None
        name, doubt = self._world.grants.present(token)
        token.presented_on.append(connection)
        if name == "replay":
            ledger.replayed(company)
        elif name == "reuse":
            ledger.reused(company)
        elif name == "last_resort":
            living = not was_spent and token.grant.ended_by is None
            ledger.resorted(company, doubt, honoured=living)
        return _Presented(name, doubt, was_spent)

    async def _take_effect(
        self,
        asked: _Asked,
        fault: Fault | None,
        presented: _Presented | None,
        connection: Connection,
    ) -> _Outcome | None:
        """Wait as told, and do what was asked, unless the fault says not to."""
        name = presented.name if presented else None
        processed = fault.processed if fault else "before"
        outcome = self._do(asked, name) if processed == "before" else None
        late = self._world.settings.token_delay + (fault.delay if fault else 0.0)
        if late:
            await asyncio.sleep(late)
        if processed == "after":
            if presented and asked.token and asked.token.spent_at is not None:
                name = self._name_late(asked.token, presented, connection)
            outcome = self._do(asked, name)
        return outcome

    def _name_late(
        self, token: RefreshToken, presented: _Presented, connection: Connection
    ) -> Presentation:
        """Name again what takes effect after a wait, and finds its *token* spent."""
        ledger, company = self._world.ledger, token.grant.company
        overtaken = not presented.was_spent
        if self._world.grants.in_window(token):
            if overtaken:
                ledger.replayed(company)
            return "replay"
        if overtaken and connection not in token.presented_on:
            # Its client had left, which has excused the other: both are counted.
            return "last_resort"
        missed = presented.name == "replay" and token.grant.ended_by is None
        if overtaken or missed:
            ledger.reused(company)
            return "reuse"
        return presented.name

    def _settle(self, asked: _Asked, connection: Connection, *, excused: bool) -> None:
        """The answer is out or will never be; a client that missed it is in doubt."""
        token = asked.token
        if token is None or connection not in token.presented_on:
            return
        token.presented_on.remove(connection)
        if not excused:
            token.doubt = token.doubt or GONE

    def _refusal(self, asked: _Asked) -> _Outcome | None:
        """The answer to a request that is not *asked* by the client it should be."""
        if asked.problem is not None:
            return _refused("invalid_request", asked.problem)
        client_id = asked.params["client_id"]
        secret = self._world.settings.client(client_id)
        if secret is None or not compare_digest(
            secret.encode(errors="surrogatepass"),
            asked.params["client_secret"].encode(errors="surrogatepass"),
        ):
            return _refused("invalid_client", "unknown client or wrong secret", 401)
        # "Trying to refresh an access token using another client will fail."
        if asked.token is not None and asked.token.grant.client_id != client_id:
            return _refused("invalid_grant", "another client's refresh token")
        return None

    def _do(self, asked: _Asked, named: Presentation | None) -> _Outcome:
        """What the document says, without any fault."""
        if refusal := self._refusal(asked):
            return refusal
        if asked.params["grant_type"] == "authorization_code":
            return self._exchange(asked.code, asked.params)
        return self._refresh(asked.token, named)

    def _exchange(self, code: Code | None, params: Mapping[str, Any]) -> _Outcome:
        """Redeem a code: once, in time, by its client, for its redirect URI."""
        bound = (params["client_id"], params["redirect_uri"])
        if code is None or bound != (code.client_id, code.redirect_uri):
            return _refused("invalid_grant", "unknown code, client or redirect_uri")
        had_ended = code.grant is None or code.grant.ended_by is not None
        pair = self._world.grants.redeem(code)
        if pair is None:
            if not had_ended:
                self._world.ledger.grant_lost(code.company, "code_reuse")
            return _refused("invalid_grant", "the code is used or expired")
        self._world.ledger.exchanged(code.company)
        return self._paid(pair)

    def _refresh(
        self, token: RefreshToken | None, named: Presentation | None
    ) -> _Outcome:
        """Rotate, by the name that was given to this presentation."""
        if token is None:
            return _refused("invalid_grant", "unknown refresh token")
        grants, ledger, grant = self._world.grants, self._world.ledger, token.grant
        if named == "replay" and grants.in_window(token):
            return self._paid(grants.replay(token))
        if token.spent_at is not None:
            cause = "last_resort" if named == "last_resort" else "reuse"
            if self._world.settings.reuse_revokes and grants.end(grant, cause):
                ledger.grant_lost(grant.company, cause)
            return _refused("invalid_grant", "the refresh token is spent")
        if grant.ended_by is not None:
            return _refused("invalid_grant", "the grant is revoked")
        if grants.lapsed(token):
            return _refused("invalid_grant", "the refresh token has expired")
        ledger.refreshed(grant.company)
        return self._paid(grants.spend(token))

    def _paid(self, pair: Pair) -> _Outcome:
        content = token_response(pair.access_token, pair.refresh_token, pair.expires_in)
        return _Outcome(Answer.of(content), pair)


def _cause(fault: Fault, presented: _Presented | None) -> str:
    """Why the answer under *fault* leaves the client in doubt; empty if it does not."""
    if fault.ambiguous:
        return fault.kind
    # What says that nothing was done, takes away no excuse.
    return presented.doubt if presented and fault.processed == "no" else ""


def _doubt(asked: _Asked, connection: Connection, cause: str) -> None:
    """The answer on *connection* will not be understood, or not be enough.

    Not if its client has left, and another presentation was excused by that.
    """
    if cause and asked.token is not None and connection in asked.token.presented_on:
        asked.token.doubt = cause


def _parameters(request: web.Request, body: bytes) -> tuple[dict[str, Any], str | None]:
    """The parameters of a token request, and the first thing that is wrong with it."""
    try:
        params = json.loads(body, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        return {}, "the body is not JSON, or names a parameter twice"
    if not isinstance(params, dict):
        return {}, "the body is not a JSON object"
    texts = {name: each for name, each in params.items() if isinstance(each, str)}
    return texts, _problem(request, params, texts)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """RFC 6749 section 3.2: no parameter more than once."""
    if len(dict(pairs)) != len(pairs):
        message = "a name is given twice"
        raise ValueError(message)
    return dict(pairs)


def _problem(
    request: web.Request, params: Mapping[str, Any], texts: Mapping[str, str]
) -> str | None:
    if request.content_type != JSON:
        return "the body type has to be application/json"
    # how-do-i-get-started-with-oauth.md, PROVIDERS 2.3
    if "Authorization" in request.headers:
        return "the request must not carry an Authorization header"
    if request.query_string:
        return "parameters belong in the body"
    if len(texts) != len(params):
        return "a parameter is not a text"
    expected = TOKEN_PARAMETERS.get(texts.get("grant_type", ""))
    if expected is None:
        return "grant_type has to be authorization_code or refresh_token"
    if missing := sorted(expected - set(texts)):
        return f"missing parameters: {', '.join(missing)}"
    if unknown := sorted(set(texts) - expected):
        return f"unknown parameters: {', '.join(unknown)}"
    return None
