"""The sandbox's own routes, for programs in other processes: ``/_sandbox/...``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from everbearer.sandbox.faults import BY_NAME

if TYPE_CHECKING:
    from everbearer.sandbox._world import World

__all__ = ["Control"]

_ACTIONS: Final = (
    "expire_now",
    "invalidate_now",
    "revoke",
    "killed",
    "remove",
    "clear",
)


class _InvalidOrderError(Exception):
    """The request makes no sense; the message says why."""


class Control:
    """Read the ledger, change the settings, plan faults, issue tokens."""

    def __init__(self, world: World) -> None:
        self._world = world

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Add the routes to an application."""
        router.add_get("/_sandbox/ledger", self._ledger)
        router.add_get("/_sandbox/settings", self._settings)
        router.add_post("/_sandbox/settings", self._change)
        router.add_post("/_sandbox/script", self._script)
        router.add_post("/_sandbox/issue", self._issue)

    async def _ledger(self, _: web.Request) -> web.Response:
        return web.json_response(self._world.ledger.summary())

    async def _settings(self, _: web.Request) -> web.Response:
        return web.json_response(self._world.settings.public())

    async def _change(self, request: web.Request) -> web.Response:
        try:
            self._world.settings.change(await _object(request))
        except (AttributeError, TypeError, ValueError, _InvalidOrderError) as error:
            return _refused(error)
        return await self._settings(request)

    async def _script(self, request: web.Request) -> web.Response:
        try:
            result = self._carry_out(await _object(request))
        except (TypeError, ValueError, _InvalidOrderError) as error:
            return _refused(error)
        return web.json_response(result)

    def _carry_out(self, order: dict[str, Any]) -> dict[str, Any]:
        """``{"fault": name, ...}`` plans one; ``{"action": name, ...}`` acts now."""
        script = self._world.script
        if "fault" in order:
            make = BY_NAME.get(order.pop("fault"))
            if make is None:
                message = f"fault is one of {', '.join(sorted(BY_NAME))}"
                raise _InvalidOrderError(message)
            return {"id": script.add(make(**order))}
        action = order.pop("action", None)
        if action not in _ACTIONS:
            message = f"action is one of {', '.join(_ACTIONS)}"
            raise _InvalidOrderError(message)
        return {"result": getattr(script, action)(**order)}

    async def _issue(self, request: web.Request) -> web.Response:
        try:
            company = (await _object(request)).get("company")
        except _InvalidOrderError as error:
            return _refused(error)
        if not isinstance(company, str) or not company:
            return _refused(_InvalidOrderError("company is a text"))
        pair = self._world.grants.grant(company, self._world.settings.client_id)
        return web.json_response(
            {
                "access_token": pair.access_token,
                "refresh_token": pair.refresh_token,
                "expires_in": pair.expires_in,
            }
        )


async def _object(request: web.Request) -> dict[str, Any]:
    try:
        content = await request.json()
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise _InvalidOrderError("the body is a JSON object")
    return content


def _refused(error: Exception) -> web.Response:
    return web.json_response({"error": str(error)}, status=400)
