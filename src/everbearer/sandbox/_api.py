"""The API of any twin: look at the token, at the script, then do what is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from aiohttp import web
from attrs import evolve

from everbearer.sandbox._answer import Answer, deliver
from everbearer.sandbox._calls import Call, Reply, read
from everbearer.sandbox._connection import Connection
from everbearer.sandbox._ledger import ApiCall
from everbearer.sandbox._probes import PROBES, whoami

if TYPE_CHECKING:
    from everbearer.sandbox._grants import AccessToken
    from everbearer.sandbox._world import World
    from everbearer.sandbox.faults import Fault

__all__ = ["Api"]

_Handler = Callable[[Call], Awaitable[Reply]]


class Api:
    """Everything below the API base: the twin's routes, and those for tests."""

    def __init__(self, world: World) -> None:
        self._world = world

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Add the routes to an application."""
        twin = self._world.twin
        for each in (*twin.api.routes, *PROBES):
            router.add_route(
                each.method,
                twin.api_base + each.path,
                self._route(each.handler),
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
            return await self._handle(request, whoami)
        if request.transport is not None:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return None

    async def _handle(
        self, request: web.Request, handler: _Handler
    ) -> web.StreamResponse:
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
            reply = Reply(Answer(fault.status, body, fault.headers))
        else:
            assert token is not None  # noqa: S101 - there is no verdict
            reply = await handler(Call(request, token, world.settings, world.twin))
        if fault is not None and fault.drop:
            reply = Reply(Answer(0))
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
        reply: Reply,
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
    ) -> Reply:
        """Say that the token is no good, before or after reading the body."""
        settings = self._world.settings
        early = settings.early_refusals
        if fault is not None and fault.after is not None:
            await read(request, fault.after)
        elif not early:
            await read(request)
        status = fault.status if fault is not None else None
        size = fault.size if fault is not None and fault.size else settings.refusal_size
        scheme, _, value = request.headers.get("Authorization", "").partition(" ")
        twin = self._world.twin
        presented = scheme.lower() == twin.token_scheme.lower() and bool(value)
        answer = twin.api.refuse(code, presented)
        return Reply(
            evolve(
                answer,
                status=status or settings.refusal_status or answer.status,
                error=code,
                body=answer.body.ljust(size),
            )
        )
