"""Invoiced as its document describes it (seed "Developing on Invoiced: OAuth").

What the document does not say comes from a public copy of the server's code, "backend
copy" in PROVIDERS: every token error is a 400 that only its message tells apart.
"""

from __future__ import annotations

import secrets
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from everbearer.sandbox._answer import Answer
from everbearer.sandbox._calls import Call, Reply, first_id, received, whole_number
from everbearer.sandbox._jwt import unverifiable
from everbearer.sandbox._twin import (
    ApiFace,
    ApiRoute,
    InvalidLinkError,
    Login,
    OwnRoute,
    Paid,
    Parameters,
    Refusal,
    TokenRoute,
    Twin,
)

if TYPE_CHECKING:
    from everbearer.sandbox._grants import AccessToken
    from everbearer.sandbox._settings import Settings
    from everbearer.sandbox._world import World

__all__ = ["INVOICED"]

_SCOPES: Final = ("read", "read_write")
_MOST_PER_PAGE: Final = 100
_JTI_BYTES: Final = 40

# League's OAuthServerException 8.5.4 (PROVIDERS 4.3).
_MESSAGES: Final = {
    "invalid_request": "The request is missing a required parameter, includes an"
    " invalid parameter value, includes a parameter more than once, or is otherwise"
    " malformed.",
    "invalid_client": "Client authentication failed",
    "unsupported_grant_type": "The authorization grant type is not supported by the"
    " authorization server.",
    "invalid_code": "The provided authorization grant (e.g., authorization code,"
    " resource owner credentials) or refresh token is invalid, expired, revoked, does"
    " not match the redirection URI used in the authorization request, or was issued"
    " to another client.",
    "invalid_refresh_token": "The refresh token is invalid.",
}
_DENIED: Final = "The resource owner or authorization server denied the request."


def _check(query: Mapping[str, str], _: Settings) -> None:
    """Step 2.1: "should be code", "should be set to read_write or read"."""
    if query["response_type"] != "code":
        raise InvalidLinkError("response_type should be code")
    if query["scope"] not in _SCOPES:
        raise InvalidLinkError("scope should be set to read_write or read")


def _access_token(token: AccessToken, now: float) -> str:
    """A JWT as in the example response; its claims are those of PROVIDERS 4.4."""
    grant = token.grant
    return unverifiable(
        {
            "aud": grant.client_id,
            "jti": secrets.token_hex(_JTI_BYTES),
            "iat": now,
            "nbf": now,
            "exp": token.expires_at,
            "sub": f"tenant:{zlib.crc32(grant.company.encode())}",
            "scopes": grant.scope.split(),
        }
    )


def _token_response(paid: Paid) -> dict[str, Any]:
    """The example response of step 2.2: these four members, lower-case bearer."""
    return {
        "token_type": "bearer",
        "expires_in": paid.expires_in,
        "access_token": paid.pair.access_token,
        "refresh_token": paid.pair.refresh_token,
    }


def _error(message: str, status: int) -> Answer:
    content = {"type": "invalid_request", "message": message}
    return Answer.of(content, status, "invalid_request")


def _token_error(refusal: Refusal) -> Answer:
    return _error(_MESSAGES.get(refusal.kind, refusal.why), 400)


def _refuse(_: str, __: bool) -> Answer:  # noqa: FBT001 - as declared
    """One text for all causes, and a challenge for another scheme (PROVIDERS 4.4)."""
    answer = _error(_DENIED, 401)
    headers = {**answer.headers, "WWW-Authenticate": 'Basic realm="Invoiced"'}
    return Answer(401, answer.body, headers)


def _bad_request(why: str) -> Answer:
    return _error(why, 400)


async def _invoices(call: Call) -> Reply:
    """One page, with its neighbours in the Link header (PROVIDERS 4.4)."""
    query = call.request.query
    if unknown := sorted(set(query) - {"page", "per_page"}):
        return call.bad_request(f"not emulated: {', '.join(unknown)}")
    page = whole_number(query.get("page", "1"))
    size = whole_number(query.get("per_page", str(_MOST_PER_PAGE)))
    if not page or not size or size > _MOST_PER_PAGE:
        return call.bad_request(f"page is from 1, per_page up to {_MOST_PER_PAGE}")
    count = call.settings.orders_per_account
    numbers = range(count)[(page - 1) * size : page * size]
    answer = Answer.of([_invoice_of(call.company, number) for number in numbers])
    headers = {
        **answer.headers,
        "X-Total-Count": str(count),
        "Link": _links(call.request, page, size, max(1, -(-count // size))),
    }
    return Reply(Answer(200, answer.body, headers), len(numbers))


def _links(request: web.Request, page: int, size: int, last: int) -> str:
    pages = {"self": page, "first": 1, "last": last}
    if page > 1:
        pages["previous"] = page - 1
    if page < last:
        pages["next"] = page + 1
    urls = {
        rel: request.url.with_query({"page": str(number), "per_page": str(size)})
        for rel, number in pages.items()
    }
    return ", ".join(f'<{url}>; rel="{rel}"' for rel, url in urls.items())


async def _new_invoice(call: Call) -> Reply:
    return await received(call, 201)


def _invoice_of(company: str, number: int) -> dict[str, object]:
    return {"id": first_id(company) + number, "number": f"{company}-{number + 1}"}


async def _revoke(world: World, request: web.Request) -> web.StreamResponse:
    """``token`` is an access token; what it belongs to ends (PROVIDERS 4.3)."""
    form = await request.post()
    token = world.grants.access_token(str(form.get("token", "")))
    if token is not None:
        world.grants.end(token.grant, "revoked")
    return web.Response(status=204)


INVOICED: Final = Twin(
    name="invoiced",
    title="Invoiced",
    login=Login(
        path="/oauth/authorize",
        parameters=frozenset(
            {"response_type", "client_id", "redirect_uri", "scope", "state"}
        ),
        required=("response_type", "client_id", "redirect_uri", "scope"),
        check=_check,
    ),
    token=(
        TokenRoute(
            path="/oauth/access_token",
            kinds={
                "authorization_code": Parameters(
                    frozenset({"grant_type", "code", "redirect_uri"})
                ),
                # The list has two parameters, the example also the client's; League
                # asks for them in the body or by Basic (PROVIDERS 4.3).
                "refresh_token": Parameters(frozenset({"grant_type", "refresh_token"})),
            },
            authentication="either",
        ),
    ),
    token_response=_token_response,
    token_error=_token_error,
    api=ApiFace(
        documents="/invoices",
        routes=(
            ApiRoute("GET", "/invoices", _invoices),
            ApiRoute("POST", "/invoices", _new_invoice),
        ),
        refuse=_refuse,
        bad_request=_bad_request,
    ),
    own=(OwnRoute("POST", "/oauth/revoke", _revoke),),
    scope="read_write",
    access_token=_access_token,
    defaults={
        "access_lifetime": 3600.0,
        # Backend copy and League's defaults (PROVIDERS 4.2, 4.3).
        "code_lifetime": 600.0,
        "refresh_lifetime": 31_536_000.0,
        "rotation": "every_use",
        "old_access_dies": True,
    },
)
