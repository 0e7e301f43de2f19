"""Billit as its document describes it (seed "How do I get started with OAuth?").

Where the document is silent, what the sandbox assumes is said beside it.
"""

from __future__ import annotations

import zlib
from typing import Any, Final

from everbearer.sandbox import _pages
from everbearer.sandbox._answer import JSON, Answer
from everbearer.sandbox._calls import Call, Reply, first_id, received, whole_number
from everbearer.sandbox._rfc import token_error
from everbearer.sandbox._twin import (
    ApiFace,
    ApiRoute,
    Login,
    Paid,
    Parameters,
    TokenRoute,
    Twin,
)

__all__ = ["BILLIT"]

# "At most 120 per page" (odata.md, PROVIDERS 2.6).
_MOST_PER_PAGE: Final = 120
_PAGING: Final = frozenset({"$top", "$skip"})

_EXPLANATIONS: Final = {
    "AccessTokenExpired": "the access token has expired",
    "InvalidAccessToken": "the access token is unknown",
    "AccessTokenRevoked": "the user has withdrawn access",
}


def _token_response(paid: Paid) -> dict[str, Any]:
    """The body under "Token requisitioning response": these four members."""
    return {
        "token_type": "Bearer",
        "expires_in": paid.expires_in,
        "access_token": paid.pair.access_token,
        "refresh_token": paid.pair.refresh_token,
    }


def _error(code: str, description: str | None, status: int) -> Answer:
    """The body under "Error states"; 400.md adds the description."""
    error = {"Code": code}
    if description is not None:
        error["Description"] = description
    return Answer.of({"errors": [error]}, status)


def _refuse(code: str, _: bool) -> Answer:  # noqa: FBT001 - as declared
    return _error(code, _EXPLANATIONS.get(code), 401)


def _bad_request(why: str) -> Answer:
    return _error("GenericError", why, 400)


async def _orders(call: Call) -> Reply:
    """One page of the company's orders (odata.md, PROVIDERS 2.6)."""
    query = call.request.query
    top = whole_number(query.get("$top", str(_MOST_PER_PAGE)))
    skip = whole_number(query.get("$skip", "0"))
    if unknown := sorted(set(query) - _PAGING):
        return call.bad_request(f"not emulated: {', '.join(unknown)}")
    if top is None or skip is None:
        return call.bad_request("$top and $skip are whole numbers")
    if top > _MOST_PER_PAGE:
        return call.bad_request(f"$top is {_MOST_PER_PAGE} at most")
    count = call.settings.orders_per_account
    numbers = range(count)[skip : skip + top]
    content: dict[str, object] = {
        "Items": [_order_of(call.company, number) for number in numbers]
    }
    if numbers and numbers[-1] + 1 < count:
        following = {"$top": str(top), "$skip": str(numbers[-1] + 1)}
        url = call.request.url.with_query(following)
        content["NextPageLink"] = str(url)
    return Reply(Answer.of(content), len(numbers))


async def _order(call: Call) -> Reply:
    """One order; somebody else's is a 401 that is not about the token (401.md)."""
    wanted = whole_number(call.request.match_info["id"])
    number = -1 if wanted is None else wanted - first_id(call.company)
    if not 0 <= number < call.settings.orders_per_account:
        return Reply(_error("OrderNotAccessible", "no order of yours", 401))
    return Reply(Answer.of(_order_of(call.company, number)), 1)


async def _new_order(call: Call) -> Reply:
    return await received(call, 201)


async def _account(call: Call) -> Reply:
    """The companies that the user may act for (third-party, PROVIDERS 2.6)."""
    party_id = zlib.crc32(call.company.encode())
    companies = [{"PartyID": party_id, "Name": call.company}]
    return Reply(Answer.of({"Companies": companies}))


def _order_of(company: str, number: int) -> dict[str, object]:
    order_id = first_id(company) + number
    return {"OrderID": order_id, "OrderNumber": f"{company}-{number + 1}"}


def _cut(state: str) -> str:
    """Cut off the "parameters following the &", which "will not be returned"."""
    return state.partition("&")[0]


BILLIT: Final = Twin(
    name="billit",
    title="Billit",
    login=Login(
        path="/Account/Logon",
        # "Requesting access".  A login with response_type is known to end at
        # "Invalid OAuth2 request" (PROVIDERS 2.2).
        parameters=frozenset({"client_id", "redirect_uri", "state"}),
        state=_cut,
        redirect_query=False,
        # "... if one or both are missing the request will result in an Invalid OAuth2
        # request and the default Billit login page respectively."
        without_redirect=lambda: _pages.login("Billit"),
    ),
    token=(
        TokenRoute(
            path="/OAuth2/token",
            # The two tables "Required POST parameters".
            kinds={
                "authorization_code": Parameters(
                    frozenset(
                        {
                            "client_id",
                            "client_secret",
                            "code",
                            "grant_type",
                            "redirect_uri",
                        }
                    )
                ),
                "refresh_token": Parameters(
                    frozenset(
                        {"client_id", "client_secret", "grant_type", "refresh_token"}
                    )
                ),
            },
            encodings=(JSON,),
        ),
    ),
    token_response=_token_response,
    # Assumed: the document shows no error body for it, so it is RFC 6749 section 5.2.
    token_error=token_error,
    api=ApiFace(
        documents="/v1/orders",
        routes=(
            ApiRoute("GET", "/v1/orders", _orders),
            ApiRoute("POST", "/v1/orders", _new_order),
            ApiRoute("GET", "/v1/orders/{id}", _order),
            ApiRoute("GET", "/v1/account/accountInformation", _account),
        ),
        refuse=_refuse,
        bad_request=_bad_request,
    ),
)
