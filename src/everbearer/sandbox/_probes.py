"""Routes for tests, the same below every twin's API base.

``/v1/echo``, ``/v1/whoami``, ``/v1/forbidden``, ``/v1/redirect`` and ``/v1/ws``: no
provider has them, and a suite that runs over all twins needs them.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web

from everbearer.sandbox._answer import Answer
from everbearer.sandbox._calls import Call, Reply, read, received
from everbearer.sandbox._twin import ApiRoute

__all__ = ["PROBES", "whoami"]

_REDIRECTS: Final = range(300, 400)


async def _echo(call: Call) -> Reply:
    return await received(call, 200)


async def whoami(call: Call) -> Reply:
    """Tell whose token it is."""
    content = {
        "company": call.company,
        "token_generation": call.token.generation,
        "grant": call.token.grant.id,
    }
    return Reply(Answer.of(content))


async def _forbidden(_: Call) -> Reply:
    return Reply(Answer(401))


async def _redirect(call: Call) -> Reply:
    query = call.request.query
    status = query.get("status", "302")
    if "to" not in query or not status.isdecimal() or int(status) not in _REDIRECTS:
        return call.bad_request("say where `to`, and a `status` from 300 to 399")
    await read(call.request)
    return Reply(Answer(int(status), headers={"Location": query["to"]}))


async def _websocket(call: Call) -> Reply:
    """Send back what is received, until the client closes."""
    websocket = web.WebSocketResponse()
    await websocket.prepare(call.request)
    async for message in websocket:
        if message.type is web.WSMsgType.TEXT:
            await websocket.send_str(message.data)
        elif message.type is web.WSMsgType.BINARY:
            await websocket.send_bytes(message.data)
    return Reply(Answer(101), response=websocket)


PROBES: Final = (
    ApiRoute("GET", "/v1/whoami", whoami),
    ApiRoute("GET", "/v1/forbidden", _forbidden),
    ApiRoute("GET", "/v1/ws", _websocket),
    ApiRoute("*", "/v1/echo", _echo),
    ApiRoute("*", "/v1/redirect", _redirect),
)
