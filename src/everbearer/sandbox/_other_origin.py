"""A second origin, which should never be sent a secret and records what it is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from everbearer.sandbox._ledger import OtherRequest

if TYPE_CHECKING:
    from everbearer.sandbox._ledger import Ledger

__all__ = ["OtherOrigin"]


class OtherOrigin:
    """Answers everything with 200; ``/redirect?to=&status=`` leads elsewhere."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Add the one route to an application."""
        router.add_route("*", "/{path:.*}", self._handle)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self._ledger.other_origin.append(
            OtherRequest(request.method, request.path, request.headers, body)
        )
        if request.path == "/redirect" and "to" in request.query:
            status = request.query.get("status", "302")
            return web.Response(
                status=int(status) if status.isdecimal() else 302,
                headers={"Location": request.query["to"]},
            )
        return web.json_response({"origin": "other"})
