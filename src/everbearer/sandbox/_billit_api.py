"""Billit's API: orders with their paging, and routes that tell what they were sent.

``/v1/orders`` and ``/v1/account/accountInformation`` are Billit's.  The rest of ``/v1``
is for tests: ``echo``, ``whoami``, ``forbidden``, ``redirect`` and ``ws``.
"""

from __future__ import annotations

import asyncio
import hashlib
import zlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from aiohttp import web
from attrs import evolve, field, frozen

from everbearer.sandbox._answer import Answer, deliver
from everbearer.sandbox._billit import API_PREFIX, MOST_PER_PAGE, api_error
from everbearer.sandbox._connection import Connection
from everbearer.sandbox._ledger import ApiCall

if TYPE_CHECKING:
    from everbearer.sandbox._grants import AccessToken
    from everbearer.sandbox._world import World
    from everbearer.sandbox.faults import Fault

__all__ = ["Api"]

_CHUNK: Final = 65_536
_PAGING: Final = frozenset({"$top", "$skip"})
_REDIRECTS: Final = range(300, 400)
_ORDERS_PER_COMPANY: Final = 100_000
_MOST_DIGITS: Final = 100

_EXPLANATIONS: Final = {
    "AccessTokenExpired": "the access token has expired",
    "InvalidAccessToken": "the access token is unknown",
    "AccessTokenRevoked": "the user has withdrawn access",
}


@frozen(eq=False)
class _Call:
    """An API request with a good token."""

    request: web.Request
    token: AccessToken

    @property
    def company(self) -> str:
        return self.token.grant.company


@frozen(eq=False)
class _Reply:
    """An answer, and what the ledger should know besides."""

    answer: Answer
    documents: int = 0
    sha256: str | None = None
    length: int | None = None
    response: web.StreamResponse | None = field(default=None, repr=False)


_Handler = Callable[[_Call], Awaitable[_Reply]]


class Api:
    """Everything below ``/v1``."""

    def __init__(self, world: World) -> None:
        self._world = world

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Add the routes to an application."""
        for method, path, handler in (
            ("GET", "/orders", self._orders),
            ("POST", "/orders", self._new_order),
            ("GET", "/orders/{id}", self._order),
            ("GET", "/account/accountInformation", self._account),
            ("GET", "/whoami", self._whoami),
            ("GET", "/forbidden", self._forbidden),
            ("GET", "/ws", self._websocket),
            ("*", "/echo", self._echo),
            ("*", "/redirect", self._redirect),
        ):
            router.add_route(
                method,
                API_PREFIX + path,
                self._route(handler),
                expect_handler=self._continue,
            )

    def _route(
        self, handler: _Handler
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def route(request: web.Request) -> web.StreamResponse:
            return await self._handle(request, handler)

        return route

    async def _continue(self, request: web.Request) -> web.StreamResponse | None:
        """Answer ``Expect: 100-continue``; an early refusal comes in its place."""
        _, verdict = self._world.grants.judge(request.headers.get("Authorization"))
        if verdict is not None and self._world.settings.early_refusals:
            return await self._handle(request, self._whoami)
        if request.transport is not None:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return None

    async def _handle(
        self, request: web.Request, handler: _Handler
    ) -> web.StreamResponse:
        """Look at the token, then at the script, then do what is asked."""
        world = self._world
        token, verdict = world.grants.judge(request.headers.get("Authorization"))
        company = None if token is None else token.grant.company
        fault = world.script.take(
            "api", company, method=request.method, path=request.path
        )
        code = (fault.code if fault else None) or verdict
        late = world.settings.api_delay + (fault.delay if fault else 0.0)
        if late:
            await asyncio.sleep(late)
        if code is not None:
            reply = await self._refuse(request, code, fault)
        elif fault is not None and fault.status is not None:
            body = fault.body.ljust(fault.size)
            reply = _Reply(Answer(fault.status, body, fault.headers))
        else:
            assert token is not None  # noqa: S101 - there is no verdict
            reply = await handler(_Call(request, token))
        if fault is not None and fault.drop:
            reply = _Reply(Answer(0))
        self._note(request, token, reply, code)
        if fault is not None and fault.drop:
            Connection(request).drop()
            return web.Response()
        if reply.response is not None:
            return reply.response
        response, _ = await deliver(request, reply.answer)
        return response

    def _note(
        self,
        request: web.Request,
        token: AccessToken | None,
        reply: _Reply,
        refusal: str | None,
    ) -> None:
        call = ApiCall(
            None if token is None else token.grant.company,
            request.method,
            request.path,
            reply.answer.status,
            request.headers,
            None if token is None else token.generation,
            refusal,
            reply.sha256,
            reply.length,
        )
        self._world.ledger.api_call(call, reply.documents)

    async def _refuse(
        self, request: web.Request, code: str, fault: Fault | None
    ) -> _Reply:
        """Say that the token is no good, before or after reading the body."""
        settings = self._world.settings
        early = settings.early_refusals
        if fault is not None and fault.after is not None:
            await _read(request, fault.after)
        elif not early:
            await _read(request)
        status = fault.status if fault is not None else None
        size = fault.size if fault is not None and fault.size else settings.refusal_size
        answer = Answer.of(
            api_error(code, _EXPLANATIONS.get(code)),
            status or settings.refusal_status,
            code,
        )
        return _Reply(evolve(answer, body=answer.body.ljust(size)))

    # ---- Billit's own routes

    async def _orders(self, call: _Call) -> _Reply:
        """One page of the company's orders (odata.md, PROVIDERS 2.6)."""
        query = call.request.query
        top = _number(query.get("$top", str(MOST_PER_PAGE)))
        skip = _number(query.get("$skip", "0"))
        if unknown := sorted(set(query) - _PAGING):
            return _bad_request(f"not emulated: {', '.join(unknown)}")
        if top is None or skip is None:
            return _bad_request("$top and $skip are whole numbers")
        if top > MOST_PER_PAGE:
            return _bad_request(f"$top is {MOST_PER_PAGE} at most")
        count = self._world.settings.orders_per_account
        numbers = range(count)[skip : skip + top]
        content: dict[str, object] = {
            "Items": [_order(call.company, number) for number in numbers]
        }
        if numbers and numbers[-1] + 1 < count:
            following = {"$top": str(top), "$skip": str(numbers[-1] + 1)}
            url = call.request.url.with_query(following)
            content["NextPageLink"] = str(url)
        return _Reply(Answer.of(content), len(numbers))

    async def _order(self, call: _Call) -> _Reply:
        """One order; somebody else's is a 401 that is not about the token (401.md)."""
        first = _first_order_id(call.company)
        wanted = _number(call.request.match_info["id"])
        number = -1 if wanted is None else wanted - first
        if not 0 <= number < self._world.settings.orders_per_account:
            content = api_error("OrderNotAccessible", "no order of yours")
            return _Reply(Answer.of(content, 401))
        return _Reply(Answer.of(_order(call.company, number)), 1)

    async def _new_order(self, call: _Call) -> _Reply:
        return await self._received(call, 201)

    async def _account(self, call: _Call) -> _Reply:
        """The companies that the user may act for (third-party, PROVIDERS 2.6)."""
        party_id = zlib.crc32(call.company.encode())
        companies = [{"PartyID": party_id, "Name": call.company}]
        return _Reply(Answer.of({"Companies": companies}))

    # ---- routes for tests

    async def _echo(self, call: _Call) -> _Reply:
        return await self._received(call, 200)

    async def _received(self, call: _Call, status: int) -> _Reply:
        """Tell the SHA-256 and the length of the body as it arrived."""
        sha256, length = await _read(call.request)
        content = {
            "sha256": sha256,
            "length": length,
            "method": call.request.method,
            "company": call.company,
        }
        return _Reply(Answer.of(content, status), sha256=sha256, length=length)

    async def _whoami(self, call: _Call) -> _Reply:
        content = {
            "company": call.company,
            "token_generation": call.token.generation,
            "grant": call.token.grant.id,
        }
        return _Reply(Answer.of(content))

    async def _forbidden(self, _: _Call) -> _Reply:
        return _Reply(Answer(401))

    async def _redirect(self, call: _Call) -> _Reply:
        query = call.request.query
        status = query.get("status", "302")
        if "to" not in query or not status.isdecimal() or int(status) not in _REDIRECTS:
            return _bad_request("say where `to`, and a `status` from 300 to 399")
        await _read(call.request)
        return _Reply(Answer(int(status), headers={"Location": query["to"]}))

    async def _websocket(self, call: _Call) -> _Reply:
        """Send back what is received, until the client closes."""
        websocket = web.WebSocketResponse()
        await websocket.prepare(call.request)
        async for message in websocket:
            if message.type is web.WSMsgType.TEXT:
                await websocket.send_str(message.data)
            elif message.type is web.WSMsgType.BINARY:
                await websocket.send_bytes(message.data)
        return _Reply(Answer(101), response=websocket)


async def _read(request: web.Request, most: int | None = None) -> tuple[str, int]:
    """Read the body, or *most* bytes of it; return its SHA-256 and length."""
    digest, length = hashlib.sha256(), 0
    while most is None or length < most:
        chunk = await request.content.read(_CHUNK)
        if not chunk:
            break
        digest.update(chunk)
        length += len(chunk)
    return digest.hexdigest(), length


def _number(text: str) -> int | None:
    """A whole number, or None; nobody counts to what int() refuses to read."""
    return int(text) if text.isdecimal() and len(text) <= _MOST_DIGITS else None


def _first_order_id(company: str) -> int:
    """Orders of two companies have different numbers, the same in every run."""
    return zlib.crc32(company.encode()) * _ORDERS_PER_COMPANY + 1


def _order(company: str, number: int) -> dict[str, object]:
    order_id = _first_order_id(company) + number
    return {"OrderID": order_id, "OrderNumber": f"{company}-{number + 1}"}


def _bad_request(why: str) -> _Reply:
    return _Reply(Answer.of(api_error("GenericError", why), 400))
