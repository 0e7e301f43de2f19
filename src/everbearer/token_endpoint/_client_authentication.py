"""How a client proves who it is (RFC 6749 section 2.3.1).  Pure."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING
from urllib.parse import quote_plus

from everbearer import vocabulary as v

if TYPE_CHECKING:
    from everbearer.providers import TokenCall

__all__ = ["credentials"]


def credentials(
    call: TokenCall, client_id: str, secret: str | None
) -> tuple[dict[str, str], dict[str, str]]:
    """The headers and the body parameters that authenticate the client."""
    if secret is None:
        # A public client (RFC 6749 section 3.2.1).
        return {}, {v.CLIENT_ID: client_id}
    if call.client_authentication == "client_secret_basic":
        # Section 2.3.1: both are form-urlencoded before they are joined by a colon.
        write = str if call.plain_basic else quote_plus
        pair = f"{write(client_id)}:{write(secret)}"
        encoded = base64.b64encode(pair.encode()).decode()
        return {v.AUTHORIZATION: f"Basic {encoded}"}, {}
    if call.client_authentication == "client_secret_post":
        return {}, {v.CLIENT_ID: client_id, v.CLIENT_SECRET: secret}
    return {}, {v.CLIENT_ID: client_id}
