"""A server that follows RFC 6749, 6750 and 7636, and has orders to list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from everbearer.sandbox._answer import Answer
from everbearer.sandbox._calls import Call, Reply, first_id, received, whole_number
from everbearer.sandbox._rfc import challenge, token_error, token_response
from everbearer.sandbox._twin import (
    ApiFace,
    ApiRoute,
    InvalidLinkError,
    Login,
    Parameters,
    TokenRoute,
    Twin,
)

if TYPE_CHECKING:
    from everbearer.sandbox._settings import Settings

__all__ = ["STANDARD"]

_METHODS: Final = ("plain", "S256")
_MOST_PER_PAGE: Final = 100

_EXPLANATIONS: Final = {
    "AccessTokenExpired": "The access token expired",
    "InvalidAccessToken": "The access token is unknown",
    "AccessTokenRevoked": "The access token was revoked",
}


def _check(query: Mapping[str, str], _: Settings) -> None:
    """RFC 6749 section 4.1.1 and RFC 7636 section 4.3."""
    if query["response_type"] != "code":
        raise InvalidLinkError("response_type has to be code")
    if query.get("code_challenge_method", "plain") not in _METHODS:
        raise InvalidLinkError("code_challenge_method has to be plain or S256")
    if "code_challenge_method" in query and not query.get("code_challenge"):
        raise InvalidLinkError("code_challenge is missing")


def _refuse(code: str, presented: bool) -> Answer:  # noqa: FBT001 - as declared
    """RFC 6750 section 3.1: everything is in the header."""
    why = _EXPLANATIONS.get(code, "The access token is not accepted")
    return Answer(401, headers=challenge(presented, why))


def _bad_request(why: str) -> Answer:
    return Answer.of({"error": "invalid_request", "error_description": why}, 400)


async def _orders(call: Call) -> Reply:
    """One page: ``page`` from 1, ``per_page`` 100 at most, ``next`` while there is."""
    query = call.request.query
    page = whole_number(query.get("page", "1"))
    size = whole_number(query.get("per_page", str(_MOST_PER_PAGE)))
    if not page or not size or size > _MOST_PER_PAGE:
        return call.bad_request("page is from 1, per_page up to 100")
    count = call.settings.orders_per_account
    numbers = range(count)[(page - 1) * size : page * size]
    content: dict[str, object] = {
        "orders": [_order_of(call.company, number) for number in numbers]
    }
    if page * size < count:
        following = {"page": str(page + 1), "per_page": str(size)}
        content["next"] = str(call.request.url.with_query(following))
    return Reply(Answer.of(content), len(numbers))


async def _new_order(call: Call) -> Reply:
    return await received(call, 201)


def _order_of(company: str, number: int) -> dict[str, object]:
    return {"id": first_id(company) + number, "number": f"{company}-{number + 1}"}


STANDARD: Final = Twin(
    name="standard",
    title="A standard server",
    login=Login(
        path="/authorize",
        parameters=frozenset(
            {
                "client_id",
                "code_challenge",
                "code_challenge_method",
                "redirect_uri",
                "response_type",
                "scope",
                "state",
            }
        ),
        required=("client_id", "redirect_uri", "response_type"),
        check=_check,
    ),
    token=(
        TokenRoute(
            path="/token",
            kinds={
                # Sections 4.1.3 and 6; RFC 7636 section 4.5.
                "authorization_code": Parameters(
                    frozenset({"grant_type", "code", "redirect_uri"}),
                    frozenset({"code_verifier"}),
                ),
                "refresh_token": Parameters(
                    frozenset({"grant_type", "refresh_token"}), frozenset({"scope"})
                ),
            },
            authentication="either",
            basic_encoded=True,
        ),
    ),
    token_response=token_response,
    token_error=token_error,
    api=ApiFace(
        documents="/v1/orders",
        routes=(
            ApiRoute("GET", "/v1/orders", _orders),
            ApiRoute("POST", "/v1/orders", _new_order),
        ),
        refuse=_refuse,
        bad_request=_bad_request,
    ),
)
