"""What routes with an authentication of their own have in common."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from everbearer.sandbox._answer import JSON
from everbearer.sandbox._token_form import basic_client

if TYPE_CHECKING:
    from aiohttp import web

    from everbearer.sandbox._settings import Settings

__all__ = ["client_of", "json_object"]


def client_of(request: web.Request, settings: Settings) -> str | None:
    """The client that a Basic header proves, or None."""
    return basic_client(request.headers.get("Authorization"), settings)


async def json_object(request: web.Request) -> dict[str, Any] | None:
    """The body, or None if it is no JSON object or does not say that it is."""
    if request.content_type != JSON:
        return None
    try:
        content = json.loads(await request.read())
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None
