"""Humansoft as its document describes it (seed "Authorization Code Flow").

An HR product: what it opens with a bearer token is userinfo, at the login's own host.
The seed is about the login alone; the other pages are those of PROVIDERS 5.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from yarl import URL

from everbearer.sandbox._answer import JSON, Answer
from everbearer.sandbox._calls import Call, Reply
from everbearer.sandbox._jwt import unverifiable
from everbearer.sandbox._own import client_of, json_object
from everbearer.sandbox._rfc import token_error
from everbearer.sandbox._twin import (
    FORM,
    ApiFace,
    ApiRoute,
    InvalidLinkError,
    Login,
    OwnRoute,
    Paid,
    Parameters,
    TokenRoute,
    Twin,
)

if TYPE_CHECKING:
    from everbearer.sandbox._grants import AccessToken, Grant
    from everbearer.sandbox._settings import Settings
    from everbearer.sandbox._world import World

__all__ = ["HUMANSOFT"]

_BASE: Final = "/oauth2/v1"
_SCOPES: Final = ("openid", "profile", "email")
_METHODS: Final = ("plain", "S256")
_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_ISSUER: Final = "https://auth.humansoft.co.th"

# "Error Response - Invalid Client".  Its status is not documented.
_INVALID_CLIENT: Final = Answer.of(
    {
        "error": "Invalid client_id",
        "message": "The provided client_id/redirect_uri does not exist"
        " or is not registered.",
    },
    400,
)


def _check(query: Mapping[str, str], _: Settings) -> None:
    """The table "Request Parameters", and the overview on redirect URIs."""
    if query["response_type"] != "code":
        raise InvalidLinkError("response_type has to be code")
    back = URL(query["redirect_uri"])
    if back.scheme != "https" and back.host not in _LOCAL:
        raise InvalidLinkError("redirect_uri has to be https, except localhost")
    if query.get("code_challenge_method", "plain") not in _METHODS:
        raise InvalidLinkError("code_challenge_method is plain or S256")
    if "code_challenge_method" in query and not query.get("code_challenge"):
        raise InvalidLinkError("code_challenge is missing")
    if "user_id" in query and not _is_base64(query["user_id"]):
        raise InvalidLinkError("user_id is base64 encoded")
    if unknown := [each for each in query["scope"].split() if each not in _SCOPES]:
        # "Error Response - Invalid Scopes": an answer, not a callback.
        content = {
            "error": "Invalid scopes",
            "message": "The provided scopes are not available for the client_id.",
            "non_available_scopes": unknown,
        }
        raise InvalidLinkError("Invalid scopes", Answer.of(content, 400))


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _secret_or_verifier(params: Mapping[str, str]) -> str | None:
    if "client_secret" in params or "code_verifier" in params:
        return None
    return "client_secret or code_verifier is missing"


def _user_id(grant: Grant) -> str:
    return str(zlib.crc32(grant.company.encode()))


def _claims(grant: Grant) -> dict[str, Any]:
    """Who it is, as far as the scopes go; the values are the sandbox's own."""
    user_id = _user_id(grant)
    claims: dict[str, Any] = {"sub": user_id, "user_id": user_id}
    if "profile" in grant.scope.split():
        claims |= {
            "first_name": grant.company,
            "last_name": "Sandbox",
            "photograph": None,
            "employee_code": f"E{user_id}",
            "user_type": "hrs",
            "instance_server_code": "sandbox",
        }
    if "email" in grant.scope.split():
        claims["email"] = f"user-{user_id}@example.com"
    return claims


def _access_token(token: AccessToken, now: float) -> str:
    grant = token.grant
    return unverifiable(
        {
            "iss": _ISSUER,
            "sub": _user_id(grant),
            "aud": grant.client_id,
            "iat": int(now),
            "exp": int(token.expires_at),
            "generation": token.generation,
        }
    )


def _token_response(paid: Paid) -> dict[str, Any]:
    """Not wrapped in an envelope; an id token with openid (PROVIDERS 5.3)."""
    grant = paid.pair.access.grant
    content = {
        "token_type": "Bearer",
        "expires_in": paid.expires_in,
        "access_token": paid.pair.access_token,
        "refresh_token": paid.pair.refresh_token,
        "scope": grant.scope,
    }
    if "openid" in paid.scopes:
        moments = {"iat": int(paid.now), "exp": int(paid.now + paid.pair.expires_in)}
        issued = {"iss": _ISSUER, "aud": grant.client_id, **moments}
        content["id_token"] = unverifiable({**issued, **_claims(grant)})
    return content


def _refuse(_: str, presented: bool) -> Answer:  # noqa: FBT001 - as declared
    """Userinfo's two answers; expired and unknown are one (PROVIDERS 5.4)."""
    code, why = (
        ("invalid_token", "Token verification failed")
        if presented
        else ("invalid_request", "Missing or invalid Authorization header")
    )
    return Answer.of({"error": code, "error_description": why}, 401)


def _bad_request(why: str) -> Answer:
    return Answer.of({"error": "invalid_request", "error_description": why}, 400)


async def _userinfo(call: Call) -> Reply:
    """The one document that a demo can sync (PROVIDERS 5.4)."""
    return Reply(Answer.of(_claims(call.token.grant)), 1)


async def _introspect(world: World, request: web.Request) -> web.StreamResponse:
    """Wrong client credentials too are just "not active" (PROVIDERS 5.3)."""
    content = await json_object(request)
    value = str((content or {}).get("token", ""))
    token, verdict = world.grants.judge(f"Bearer {value}", note=False)
    client = client_of(request, world.settings)
    if client is None or token is None or verdict is not None:
        return web.json_response({"active": False})
    moments = {"iat": int(token.minted_at), "exp": int(token.expires_at)}
    return web.json_response({"active": True, **moments})


async def _revoke(world: World, request: web.Request) -> web.StreamResponse:
    """Always 200 but for a bad client; a refresh token ends the user's sessions."""
    client = client_of(request, world.settings)
    if client is None:
        return web.json_response({"error": "invalid_client"}, status=401)
    value = str((await json_object(request) or {}).get("token", ""))
    refresh, access = (
        world.grants.refresh_token(value),
        world.grants.access_token(value),
    )
    if refresh is not None:
        for grant in world.grants.of(refresh.grant.company):
            if grant.client_id == client == refresh.grant.client_id:
                world.grants.end(grant, "revoked")
    elif access is not None and access.grant.client_id == client:
        access.dead = True
    return web.json_response({})


HUMANSOFT: Final = Twin(
    name="humansoft",
    title="Humansoft",
    login=Login(
        path=f"{_BASE}/authorize",
        parameters=frozenset(
            {
                "client_id",
                "redirect_uri",
                "response_type",
                "scope",
                "state",
                "code_challenge",
                "code_challenge_method",
                "source",
                "user_id",
                "user_type",
                "instance_server_code",
            }
        ),
        # The seed's text has lost the column "Required"; the live table marks the
        # state too (PROVIDERS 5.2).
        required=("client_id", "redirect_uri", "response_type", "scope", "state"),
        check=_check,
        unregistered=_INVALID_CLIENT,
    ),
    token=(
        TokenRoute(
            path=f"{_BASE}/token",
            kinds={
                "authorization_code": Parameters(
                    frozenset({"grant_type", "code", "client_id", "redirect_uri"}),
                    frozenset({"client_secret", "code_verifier"}),
                    public=True,
                    check=_secret_or_verifier,
                ),
                # The parameters are not documented: RFC 6749 section 6.
                "refresh_token": Parameters(
                    frozenset({"grant_type", "refresh_token", "client_id"}),
                    frozenset({"client_secret"}),
                    public=True,
                ),
            },
            encodings=(JSON, FORM),
        ),
    ),
    token_response=_token_response,
    # Assumed: RFC 6749 section 5.2 (PROVIDERS 5.3: unknown).
    token_error=token_error,
    api=ApiFace(
        documents=f"{_BASE}/userinfo",
        routes=(
            ApiRoute("GET", f"{_BASE}/userinfo", _userinfo),
            ApiRoute("POST", f"{_BASE}/userinfo", _userinfo),
        ),
        refuse=_refuse,
        bad_request=_bad_request,
    ),
    own=(
        OwnRoute("POST", f"{_BASE}/introspect", _introspect),
        OwnRoute("POST", f"{_BASE}/revoke", _revoke),
    ),
    scope=" ".join(_SCOPES),
    access_token=_access_token,
    defaults={
        "access_lifetime": 3600.0,
        # "5 minutes", and used once
        "code_lifetime": 300.0,
        # Rotation is unknown (PROVIDERS 5.3): the case that forgives least.
        "rotation": "every_use",
    },
)
