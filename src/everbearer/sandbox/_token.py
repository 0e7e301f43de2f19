"""The token endpoint of any twin: a POST in, a pair of tokens or a refusal out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from aiohttp import web
from attrs import evolve, frozen

from everbearer.sandbox._answer import Answer, deliver, spoil
from everbearer.sandbox._connection import Connection
from everbearer.sandbox._grants import GONE, Code, Pair, Presentation, RefreshToken
from everbearer.sandbox._ledger import TokenRequest
from everbearer.sandbox._token_form import TokenForm, proves
from everbearer.sandbox._twin import Paid, Refusal, RefusalKind

if TYPE_CHECKING:
    from everbearer.sandbox._twin import TokenRoute
    from everbearer.sandbox._world import World
    from everbearer.sandbox.faults import Fault

__all__ = ["TokenEndpoint"]


@frozen(eq=False)
class _Asked:
    """A token request as it arrived, and what it names.

    Attributes:
        refusal: Why nobody looks at what it names; None if the client is who it
            should be and asks as the document says.
    """

    record: TokenRequest
    form: TokenForm
    code: Code | None
    token: RefreshToken | None
    refusal: Refusal | None

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


class TokenEndpoint:
    """Every path of the twin's token endpoint."""

    def __init__(self, world: World) -> None:
        self._world = world

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Add the routes to an application."""
        twin = self._world.twin
        for route in twin.token:
            router.add_post(twin.token_base + route.path, self._handler(route))

    def _handler(
        self, route: TokenRoute
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            if request.path in self._world.settings.absent_paths:
                raise web.HTTPNotFound
            return await self._counted(request, route)

        return handle

    async def _counted(
        self, request: web.Request, route: TokenRoute
    ) -> web.StreamResponse:
        """Answer one token request, by the script or by the truth."""
        asked = await self._read(request, route)
        counted = tuple(self._world.ledger.figures(asked.company))
        for figures in counted:
            figures.came()
        try:
            return await self._answer(request, asked)
        finally:
            for figures in counted:
                figures.went()

    async def _read(self, request: web.Request, route: TokenRoute) -> _Asked:
        world = self._world
        form = TokenForm.read(route, request, await request.read(), world.settings)
        token = world.grants.refresh_token(form.refresh_token)
        record = TokenRequest(
            None, form.grant_type, form.params, request.headers, request.cookies
        )
        refusal = form.refusal or self._unfit(token, form.client_id)
        return _Asked(record, form, world.grants.code(form.code), token, refusal)

    def _unfit(self, token: RefreshToken | None, client_id: str) -> Refusal | None:
        """Why a refresh token that is good in itself is not looked at."""
        if token is None:
            return None
        # RFC 6749 section 6; Billit: "trying to refresh an access token using
        # another client will fail."
        if token.grant.client_id != client_id:
            return Refusal("invalid_refresh_token", "another client's refresh token")
        if self._world.grants.too_early(token):
            return Refusal("too_early", "Rate limit exceeded: access_token not expired")
        return None

    async def _answer(self, request: web.Request, asked: _Asked) -> web.StreamResponse:
        world, connection = self._world, Connection(request)
        record = evolve(asked.record, company=asked.company)
        fault = world.script.take("token", asked.company, grant_type=record.grant_type)
        presented = self._present(asked, connection)
        outcome = await self._take_effect(asked, fault, presented, connection)
        answer = outcome.answer if outcome else None
        if fault is not None:
            record = evolve(record, fault=fault.kind)
            answer = spoil(fault, answer, world.twin.also)
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
        if token is None or asked.refusal is not None:
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

    def _do(self, asked: _Asked, named: Presentation | None) -> _Outcome:
        """What the document says, without any fault."""
        if asked.refusal is not None:
            return self._refused(asked.refusal)
        if asked.form.grant_type == "authorization_code":
            return self._exchange(asked.code, asked.form)
        return self._refresh(asked.token, named)

    def _exchange(self, code: Code | None, form: TokenForm) -> _Outcome:
        """Redeem a code: once, in time, by its client, for its redirect URI."""
        if (
            code is None
            or form.client_id != code.client_id
            # Where the document lists it: that it is there has been checked.
            or form.params.get("redirect_uri", code.redirect_uri) != code.redirect_uri
        ):
            return self._no("invalid_code", "unknown code, client or redirect_uri")
        if not proves(code, form.params.get("code_verifier")):
            return self._no("invalid_code", "the code_verifier is not the challenge's")
        had_ended = code.grant is None or code.grant.ended_by is not None
        pair = self._world.grants.redeem(code)
        if pair is None:
            if not had_ended:
                self._world.ledger.grant_lost(code.company, "code_reuse")
            return self._no("invalid_code", "the code is used or expired")
        self._world.ledger.exchanged(code.company)
        return self._paid("authorization_code", pair)

    def _refresh(
        self, token: RefreshToken | None, named: Presentation | None
    ) -> _Outcome:
        """Rotate, by the name that was given to this presentation."""
        if token is None:
            return self._no("invalid_refresh_token", "unknown refresh token")
        grants, ledger, grant = self._world.grants, self._world.ledger, token.grant
        if named == "replay" and grants.in_window(token):
            return self._paid("refresh_token", grants.replay(token))
        if token.spent_at is not None:
            cause = "last_resort" if named == "last_resort" else "reuse"
            if self._world.settings.reuse_revokes and grants.end(grant, cause):
                ledger.grant_lost(grant.company, cause)
            return self._no("invalid_refresh_token", "the refresh token is spent")
        if grant.ended_by is not None:
            return self._no("invalid_refresh_token", "the grant is revoked")
        if grants.lapsed(token):
            return self._no("invalid_refresh_token", "the refresh token is expired")
        ledger.refreshed(grant.company)
        return self._paid("refresh_token", grants.spend(token))

    def _paid(self, grant_type: str, pair: Pair) -> _Outcome:
        world = self._world
        paid = Paid(grant_type, pair, world.clock(), world.settings)
        return _Outcome(Answer.of(world.twin.token_response(paid)), pair)

    def _no(self, kind: RefusalKind, why: str) -> _Outcome:
        return self._refused(Refusal(kind, why))

    def _refused(self, refusal: Refusal) -> _Outcome:
        return _Outcome(self._world.twin.token_error(refusal))


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
