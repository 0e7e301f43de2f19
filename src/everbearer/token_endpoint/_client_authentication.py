"""How a client proves who it is (RFC 6749 section 2.3.1).  Pure."""

from __future__ import annotations

import base64
from functools import partial
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from everbearer import vocabulary as v

if TYPE_CHECKING:
    from everbearer.providers import TokenCall

__all__ = ["credentials"]

# A space as %20, never as +: form decoders read both, and Authlib reads only the first.
_form_urlencoded: Final = partial(quote, safe="")


def credentials(
    call: TokenCall, client_id: str, secret: str | None
) -> tuple[dict[str, str], dict[str, str]]:
    """The headers and the body parameters that authenticate the client."""
    if secret is None:
        # A public client (RFC 6749 section 3.2.1).
        return {}, {v.CLIENT_ID: client_id}
    if call.client_authentication == "client_secret_basic":
        # Section 2.3.1: both are form-urlencoded before they are joined by a colon.
        write = str if call.plain_basic else _form_urlencoded
        pair = f"{write(client_id)}:{write(secret)}"
        encoded = base64.b64encode(pair.encode()).decode()
        return {v.AUTHORIZATION: f"Basic {encoded}"}, {}
    if call.client_authentication == "client_secret_post":
        return {}, {v.CLIENT_ID: client_id, v.CLIENT_SECRET: secret}
    return {}, {v.CLIENT_ID: client_id}
