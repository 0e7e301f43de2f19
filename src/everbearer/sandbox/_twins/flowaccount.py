"""FlowAccount as its document describes it (seed "Authorization Code", in Thai).

The environment is a path of the API and the token endpoint, and a host of the login:
the twin is the sandbox environment, whose path is ``/test`` (PROVIDERS 3.1).
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from everbearer.sandbox._answer import Answer
from everbearer.sandbox._calls import Call, Reply, first_id, received, whole_number
from everbearer.sandbox._rfc import error_code
from everbearer.sandbox._twin import (
    ApiFace,
    ApiRoute,
    InvalidLinkError,
    Login,
    Paid,
    Parameters,
    Refusal,
    TokenRoute,
    Twin,
)

if TYPE_CHECKING:
    from everbearer.sandbox._settings import Settings

__all__ = ["FLOWACCOUNT"]

_ENVIRONMENT: Final = "/test"
_API_SCOPE: Final = "flowaccount-api"
_OFFLINE: Final = "offline_access"
_PAGING: Final = frozenset({"currentPage", "pageSize", "sortBy", "filter"})


def _check(query: Mapping[str, str], _: Settings) -> None:
    """The values under "Query Parameters"; `offline_access` "should" be there."""
    if query["response_type"] != "code":
        raise InvalidLinkError("response_type has to be code")
    scopes = query["scope"].split(" ")
    if _API_SCOPE not in scopes or set(scopes) - {_API_SCOPE, _OFFLINE}:
        raise InvalidLinkError(f"scope has to be {_API_SCOPE} {_OFFLINE}")


def _support_code(company: str) -> str:
    """The customer number of the company; its form is not documented."""
    return str(zlib.crc32(company.encode()))


def _token_response(paid: Paid) -> dict[str, Any]:
    """The five members, for both grants; without `offline_access` only four."""
    content = {
        "access_token": paid.pair.access_token,
        "expires_in": paid.expires_in,
        "token_type": "Bearer",
        "supportCode": _support_code(paid.pair.access.grant.company),
    }
    if _OFFLINE in paid.scopes:
        content["refresh_token"] = paid.pair.refresh_token
    return content


def _token_error(refusal: Refusal) -> Answer:
    """Assumed: the document shows none; the SDK has an `error` text (PROVIDERS 3.3)."""
    code = error_code(refusal)
    return Answer.of({"error": code}, 400, code)


def _refuse(_: str, __: bool) -> Answer:  # noqa: FBT001 - as declared
    """A 401 is declared; its body is unknown, so it has none (PROVIDERS 3.4)."""
    return Answer(401)


def _bad_request(why: str) -> Answer:
    """Assumed: only 200, 401 and 500 are declared (PROVIDERS 3.4)."""
    return Answer.of({"code": 400, "message": why}, 400)


async def _tax_invoices(call: Call) -> Reply:
    """One page; both paging parameters are required (openapi.yaml, PROVIDERS 3.4)."""
    query = call.request.query
    if unknown := sorted(set(query) - _PAGING):
        return call.bad_request(f"unknown parameters: {', '.join(unknown)}")
    page = whole_number(query.get("currentPage", ""))
    size = whole_number(query.get("pageSize", ""))
    if not page or not size:
        return call.bad_request("currentPage and pageSize are required, from 1")
    count = call.settings.orders_per_account
    numbers = range(count)[(page - 1) * size : page * size]
    documents = [_document_of(call.company, number) for number in numbers]
    return Reply(Answer.of({"code": 200, "data": {"list": documents}}), len(numbers))


async def _new_tax_invoice(call: Call) -> Reply:
    return await received(call, 200)


async def _company(call: Call) -> Reply:
    """Who it is (openapi.yaml, PROVIDERS 3.4); the members are not known."""
    return Reply(Answer.of({"code": 200, "data": {"companyName": call.company}}))


def _document_of(company: str, number: int) -> dict[str, object]:
    serial = f"{company}-{number + 1}"
    return {"recordId": first_id(company) + number, "documentSerial": serial}


FLOWACCOUNT: Final = Twin(
    name="flowaccount",
    title="FlowAccount",
    login=Login(
        path="/connect/authorize",
        parameters=frozenset(
            {"response_type", "scope", "client_id", "redirect_uri", "state"}
        ),
        required=("response_type", "scope", "client_id", "redirect_uri"),
        check=_check,
        # "code", "scope" and "state" come back.
        returns=("scope",),
    ),
    token=(
        TokenRoute(
            path="/token",
            kinds={
                "authorization_code": Parameters(
                    frozenset(
                        {
                            "grant_type",
                            "code",
                            "redirect_uri",
                            "client_id",
                            "client_secret",
                        }
                    )
                ),
                "refresh_token": Parameters(
                    frozenset(
                        {"grant_type", "refresh_token", "client_id", "client_secret"}
                    )
                ),
            },
        ),
    ),
    token_response=_token_response,
    token_error=_token_error,
    api=ApiFace(
        documents="/tax-invoices?currentPage=1&pageSize=20",
        routes=(
            ApiRoute("GET", "/tax-invoices", _tax_invoices),
            ApiRoute("POST", "/tax-invoices", _new_tax_invoice),
            ApiRoute("GET", "/company/info", _company),
        ),
        refuse=_refuse,
        bad_request=_bad_request,
    ),
    token_base=_ENVIRONMENT,
    api_base=_ENVIRONMENT,
    scope=f"{_API_SCOPE} {_OFFLINE}",
    defaults={
        # "150 minutes from when the user has chosen the business"
        "code_lifetime": 9000.0,
        # "1 day from the last access token request"
        "refresh_idle_lifetime": 86_400.0,
        # "The refresh token is made anew at every refresh".
        "rotation": "every_use",
    },
)
