"""CamInvoice as its document describes it (seed "OAuth 2.0 Integration Guide").

Where the seed and the newer reference contradict each other, both are played: the two
paths of a refresh, and the shapes of its answer (PROVIDERS 1.5).
"""

from __future__ import annotations

import zlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from yarl import URL

from everbearer.sandbox._answer import JSON, Answer
from everbearer.sandbox._calls import Call, Reply, received, whole_number
from everbearer.sandbox._jwt import unverifiable
from everbearer.sandbox._own import client_of, json_object
from everbearer.sandbox._twin import (
    ApiFace,
    ApiRoute,
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
    from everbearer.sandbox._world import World

__all__ = ["CAMINVOICE"]

_QUERY: Final = frozenset({"type", "page", "size", "document_type"})
_TYPES: Final = ("send", "received")
_WHITE_LIST: Final = "white_list_redirect_urls"
_UNITS: Final = ((86_400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def _endpoint_id(company: str) -> str:
    """The "CamInvoice ID (e.g. KHUID00001234)"."""
    return f"KHUID{zlib.crc32(company.encode()) % 100_000_000:08d}"


def _business_info(company: str) -> dict[str, str]:
    """The members under "Business Information Parameters", with the example's values.

    Those of which the example shows none are the sandbox's own.
    """
    return {
        "endpoint_id": _endpoint_id(company),
        "moc_id": "1234567890",
        "company_name_en": company,
        "company_name_kh": "ក្រុមហ៊ុនស៊ីអេច១៦៨",
        "tin": "1234567890",
        "date_of_incorporation": "2020-01-31",
        "business_type": "Private Limited Company",
        "city": "Phnom Penh",
        "country": "KH",
        "phone_number": "012345678",
        "email": "info@example.com",
    }


def _duration(seconds: float) -> str:
    """As "15m" or "1d", in the largest unit that fits."""
    whole = int(seconds)
    for size, unit in _UNITS:
        if whole >= size and whole % size == 0:
            return f"{whole // size}{unit}"
    return f"{whole}s"


def _access_token(token: AccessToken, now: float) -> str:
    """A JWT with the claims of the official sample (PROVIDERS 1.5)."""
    company = token.grant.company
    return unverifiable(
        {
            "endpoint_id": _endpoint_id(company),
            "moc_id": "1234567890",
            "service_provider_id": token.grant.client_id,
            "expire_in": _duration(token.expires_at - now),
            "generation": token.generation,
            "iat": int(now),
            "exp": int(token.expires_at),
        }
    )


def _token_response(paid: Paid) -> dict[str, Any]:
    shape = paid.settings.token_shape
    if paid.grant_type == "authorization_code":
        # "Successful Response": no expires_in, no token_type.
        content = {
            "access_token": paid.pair.access_token,
            "refresh_token": paid.pair.refresh_token,
            "business_info": _business_info(paid.pair.access.grant.company),
        }
        if shape == "durations":
            content["expires_in"] = _duration(paid.pair.expires_in)
        return content
    content = _refreshed(paid, shape)
    if paid.settings.rotation != "never":
        content["refresh_token"] = paid.pair.refresh_token
    return content


def _refreshed(paid: Paid, shape: str) -> dict[str, Any]:
    """One of the four answers to a refresh that have been seen (PROVIDERS 1.5)."""
    token, lifetime = paid.pair.access_token, paid.pair.expires_in
    ends = datetime.fromtimestamp(paid.now + lifetime, UTC).isoformat()
    if shape == "sample":
        return {"access_token": token, "expire_at": ends}
    if shape == "durations":
        ends_twice = {"expire_at": ends, "expired_at": ends}
        return {"access_token": token, "expireIn": _duration(lifetime), **ends_twice}
    if shape == "bare":
        return {"access_token": token}
    return {"token": token, "token_type": "Bearer", "expire_in": paid.expires_in}


def _message(why: str, status: int) -> Answer:
    """The body of every error (status-code.mdx and reference, PROVIDERS 1.5, 1.7)."""
    return Answer.of({"message": why}, status, why)


def _token_error(refusal: Refusal) -> Answer:
    """Bad client and dead token cannot be told apart (PROVIDERS 1.5)."""
    if refusal.kind == "invalid_request":
        return _message(refusal.why, 422)
    return _message("Unauthorized", 401)


def _refuse(_: str, __: bool) -> Answer:  # noqa: FBT001 - as declared
    return _message("Unauthorized", 401)


def _bad_request(why: str) -> Answer:
    return _message(why, 422)


async def _documents(call: Call) -> Reply:
    """One page, with its place among all (PROVIDERS 1.7)."""
    query = call.request.query
    if unknown := sorted(set(query) - _QUERY):
        return call.bad_request(f"unknown parameters: {', '.join(unknown)}")
    page = whole_number(query.get("page", "1"))
    size = whole_number(query.get("size", "20"))
    if not page or not size or query.get("type") not in _TYPES:
        return call.bad_request("type is send or received, page and size are from 1")
    count = call.settings.orders_per_account
    numbers = range(count)[(page - 1) * size : page * size]
    content = {
        "data": [_document_of(call.company, number) for number in numbers],
        "pagination": {
            "page": page,
            "size": size,
            "total_counts": count,
            "total_pages": -(-count // size),
        },
    }
    return Reply(Answer.of(content), len(numbers))


async def _new_documents(call: Call) -> Reply:
    return await received(call, 200)


def _document_of(company: str, number: int) -> dict[str, object]:
    return {
        "document_id": f"{_endpoint_id(company)}-{number + 1}",
        "document_number": f"{company}-{number + 1}",
        "document_type": "INVOICE",
    }


async def _configure(world: World, request: web.Request) -> web.StreamResponse:
    """The page's "Configuration": good redirect URLs; its answer is not documented."""
    if client_of(request, world.settings) is None:
        return _message("Unauthorized", 401).response()
    content = await json_object(request)
    urls = content.get(_WHITE_LIST) if content and len(content) == 1 else None
    if not isinstance(urls, list) or not all(_is_web_address(each) for each in urls):
        return _message(f"{_WHITE_LIST} is a list of URLs", 422).response()
    world.settings.redirect_uris = tuple(urls)
    return _message("success", 200).response()


def _is_web_address(text: object) -> bool:
    try:
        url = URL(text) if isinstance(text, str) else URL()
    except ValueError:
        return False
    return url.scheme in ("http", "https") and bool(url.host)


async def _revoke(world: World, request: web.Request) -> web.StreamResponse:
    """By business, not by token (PROVIDERS 1.6)."""
    client = client_of(request, world.settings)
    wanted = (await json_object(request) or {}).get("endpoint_id")
    ended = [
        world.grants.end(grant, "revoked")
        for grant in world.grants.of(None)
        if grant.client_id == client and _endpoint_id(grant.company) == wanted
    ]
    if client is None or not ended:
        return _message("Forbidden", 403).response()
    return _message("success", 200).response()


_REFRESH: Final = {"refresh_token": Parameters(frozenset({"refresh_token"}))}

CAMINVOICE: Final = Twin(
    name="caminvoice",
    title="CamInvoice",
    login=Login(
        path="/connect",
        parameters=frozenset({"client_id", "redirect_url", "state"}),
        required=("client_id", "redirect_url"),
        redirect_name="redirect_url",
        # "redirect_url?authToken={authToken}"
        code_name="authToken",
    ),
    token=(
        TokenRoute(
            path="/api/v1/auth/authorize/connect",
            kinds={
                "authorization_code": Parameters(
                    frozenset({"auth_token"}), code_name="auth_token"
                )
            },
            grant_type="authorization_code",
            encodings=(JSON,),
            authentication="basic",
        ),
        # The reference, and the seed's step 4.
        *(
            TokenRoute(
                path=path,
                kinds=_REFRESH,
                grant_type="refresh_token",
                encodings=(JSON,),
                authentication="basic",
            )
            for path in ("/api/v1/auth/token", "/api/v1/token")
        ),
    ),
    token_response=_token_response,
    token_error=_token_error,
    api=ApiFace(
        documents="/api/v1/document?type=send&page=1&size=20",
        routes=(
            ApiRoute("GET", "/api/v1/document", _documents),
            ApiRoute("POST", "/api/v1/document", _new_documents),
        ),
        refuse=_refuse,
        bad_request=_bad_request,
    ),
    own=(
        OwnRoute("POST", "/api/v1/configure/configure-redirect-url", _configure),
        OwnRoute("POST", "/api/v1/auth/revoke", _revoke),
    ),
    access_token=_access_token,
    also={"access_token": "token"},
    defaults={
        # The reference; a sample's authToken lives a day (PROVIDERS 1.3, 1.5).
        "access_lifetime": 900.0,
        "code_lifetime": 86_400.0,
        "rotation": "never",
        # "Step 2" shows a callback without it.
        "state_returns": False,
    },
)
