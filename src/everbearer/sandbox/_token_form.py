"""A token request as it arrives: what it says, and the first thing wrong with it."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from hashlib import sha256
from hmac import compare_digest
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, unquote_plus

from attrs import field, frozen

from everbearer.sandbox._answer import JSON
from everbearer.sandbox._twin import Refusal

if TYPE_CHECKING:
    from aiohttp import web

    from everbearer.sandbox._grants import Code
    from everbearer.sandbox._settings import Settings
    from everbearer.sandbox._twin import Parameters, TokenRoute

__all__ = ["TokenForm", "basic_client", "proves"]

_MOST_FIELDS: Final = 100
_CREDENTIALS: Final = frozenset({"client_id", "client_secret"})


@frozen(eq=False)
class TokenForm:
    """The parameters of a token request, and what it is refused for, if anything.

    Attributes:
        grant_type: As the request or the path says it, known or not.

        client_id: Who asks, where that could be read.
    """

    params: Mapping[str, str] = field(repr=False)
    grant_type: str | None
    code: str = field(repr=False)
    refresh_token: str = field(repr=False)
    client_id: str = ""
    refusal: Refusal | None = None

    @classmethod
    def read(
        cls, route: TokenRoute, request: web.Request, body: bytes, settings: Settings
    ) -> TokenForm:
        """Read *request* as *route* wants it."""
        given, problem = _decoded(request.content_type, body)
        texts = {name: each for name, each in given.items() if isinstance(each, str)}
        named = next((route.names[each] for each in route.names if each in texts), None)
        grant_type = route.grant_type or named or texts.get("grant_type")
        kind = route.kinds.get(grant_type or "")
        code = texts.get(kind.code_name, "") if kind else ""
        refresh_token = texts.get(kind.refresh_name if kind else "refresh_token", "")
        if problem is None:
            problem = _misplaced(route, request)
        if problem is None and len(texts) != len(given):
            problem = "a parameter is not a text"
        if problem is not None:
            refusal: Refusal | None = Refusal("invalid_request", problem)
        elif kind is None:
            known = " or ".join(route.kinds)
            refusal = Refusal(
                "unsupported_grant_type" if grant_type else "invalid_request",
                f"grant_type has to be {known}",
            )
        else:
            refusal = _unlisted(route, kind, texts)
        client_id = ""
        if refusal is None and kind is not None:
            client_id, refusal = _client(route, kind, request, texts, settings)
        return cls(texts, grant_type, code, refresh_token, client_id, refusal)


def _decoded(content_type: str, body: bytes) -> tuple[dict[str, Any], str | None]:
    """The members of a body, whatever route it is for."""
    try:
        if content_type == JSON:
            params = json.loads(body, object_pairs_hook=_once)
        else:
            pairs = parse_qsl(
                body.decode("ascii"),
                keep_blank_values=True,
                strict_parsing=True,
                errors="strict",
                max_num_fields=_MOST_FIELDS,
            )
            params = _once(pairs)
    except (ValueError, RecursionError):
        what = "JSON" if content_type == JSON else "a form"
        return {}, f"the body is not {what}, or names a parameter twice"
    if not isinstance(params, dict):
        return {}, "the body is not a JSON object"
    return params, None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """RFC 6749 section 3.2: no parameter more than once."""
    if len(dict(pairs)) != len(pairs):
        message = "a name is given twice"
        raise ValueError(message)
    return dict(pairs)


def _misplaced(route: TokenRoute, request: web.Request) -> str | None:
    if request.content_type not in route.encodings:
        return f"the body type has to be {' or '.join(route.encodings)}"
    # Billit forbids it (how-do-i-get-started-with-oauth.md, PROVIDERS 2.3); nobody
    # who wants the credentials in the body documents it.
    if route.authentication == "body" and "Authorization" in request.headers:
        return "the request must not carry an Authorization header"
    if request.query_string:
        return "parameters belong in the body"
    return None


def _unlisted(
    route: TokenRoute, kind: Parameters, texts: Mapping[str, str]
) -> Refusal | None:
    """The first thing that the document does not list, or lists and is not there."""
    optional = kind.optional
    if route.authentication == "either":
        optional |= _CREDENTIALS
    if missing := sorted(kind.required - set(texts)):
        why = f"missing parameters: {', '.join(missing)}"
        return Refusal("invalid_request", why)
    if unknown := sorted(set(texts) - kind.required - optional):
        why = f"unknown parameters: {', '.join(unknown)}"
        return Refusal("invalid_request", why)
    if problem := kind.check(texts):
        return Refusal("invalid_request", problem)
    return None


def _client(
    route: TokenRoute,
    kind: Parameters,
    request: web.Request,
    texts: Mapping[str, str],
    settings: Settings,
) -> tuple[str, Refusal | None]:
    """Who asks, and whether it is proven."""
    header = request.headers.get("Authorization")
    if header is not None and "client_secret" in texts:
        why = "more than one client authentication (RFC 6749 section 2.3)"
        return "", Refusal("invalid_request", why)
    wrong = Refusal("invalid_client", "unknown client or wrong secret")
    if header is not None or route.authentication == "basic":
        client_id, given = _basic(header, encoded=route.basic_encoded)
        if texts.get("client_id", client_id) != client_id:
            return client_id, wrong
    else:
        client_id, given = texts.get("client_id", ""), texts.get("client_secret", "")
    secret = settings.client(client_id)
    if secret is None:
        return client_id, wrong
    public = kind.public and header is None and "client_secret" not in texts
    if not public and not _same(secret, given):
        return client_id, wrong
    return client_id, None


def _basic(header: str | None, *, encoded: bool) -> tuple[str, str]:
    """The user and password of a Basic header; two empty texts if it is none."""
    scheme, _, value = (header or "").partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        text = base64.b64decode(value, validate=True).decode()
    except (binascii.Error, ValueError):
        return "", ""
    user, _, password = text.partition(":")
    if encoded:  # RFC 6749 section 2.3.1
        return unquote_plus(user), unquote_plus(password)
    return user, password


def basic_client(header: str | None, settings: Settings) -> str | None:
    """The client that a Basic header proves, its credentials as they are, or None."""
    client_id, given = _basic(header, encoded=False)
    secret = settings.client(client_id)
    return client_id if secret is not None and _same(secret, given) else None


def _same(one: str, other: str) -> bool:
    return compare_digest(
        one.encode(errors="surrogatepass"), other.encode(errors="surrogatepass")
    )


def proves(code: Code, verifier: str | None) -> bool:
    """RFC 7636 section 4.6; a verifier without a challenge is an attack (RFC 9700)."""
    if code.challenge is None or verifier is None:
        return code.challenge is verifier
    if code.method == "plain":
        return _same(code.challenge, verifier)
    digest = sha256(verifier.encode(errors="surrogatepass")).digest()
    shown = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    return _same(code.challenge, shown)
