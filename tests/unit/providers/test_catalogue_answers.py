"""The answers that providers' documentation and users report, as they are read."""

from __future__ import annotations

import json

import pytest

from everbearer import providers
from everbearer.providers import Verdict
from everbearer.token_endpoint._outcome import OutcomeKind
from everbearer.token_endpoint._response import classify
from everbearer.transport._expiry_signal import ABSENT, candidates, first_match

# Those that answer as RFC 6749 section 5.2 says, apart from what has a row of its own.
BY_THE_RFC = (
    "BILLIT",
    "EXACT_ONLINE",
    "FORTNOX",
    "FREEAGENT",
    "FRESHBOOKS",
    "MONEYBIRD",
    "QUICKBOOKS",
    "SAGE_ACCOUNTING",
    "TEAMLEADER",
    "XERO",
    "ZOHO_BOOKS",
)


def oauth_error(code, description=None):
    body = {"error": code}
    if description is not None:
        body["error_description"] = description
    return json.dumps(body)


EVERYWHERE = [
    pytest.param(name, *answer, id=f"{name}-{answer[2]}")
    for name in BY_THE_RFC
    for answer in (
        (400, oauth_error("invalid_grant"), "refused"),
        (401, oauth_error("invalid_client"), "misconfigured"),
        (400, oauth_error("unauthorized_client"), "misconfigured"),
        (429, "slow down", "throttled"),
        (503, "", "throttled"),
        (500, "", "ambiguous"),
        (400, "", "unrecognised"),
        (200, "<html>", "ambiguous"),
    )
]


@pytest.mark.parametrize(
    ("name", "status", "body", "kind"),
    [
        *EVERYWHERE,
        pytest.param(
            "EXACT_ONLINE",
            400,
            oauth_error(
                "access_denied", "Rate limit exceeded: access_token not expired"
            ),
            "too_early",
            id="exact-too-early",
        ),
        pytest.param(
            "EXACT_ONLINE",
            400,
            oauth_error(
                "invalid_request",
                "The refresh token expired at 10/11/2022 9:18:20 PM and it is now "
                "10/28/2022 4:15:50 PM.",
            ),
            "refused",
            id="exact-expired",
        ),
        pytest.param(
            "EXACT_ONLINE",
            400,
            oauth_error(
                "invalid_grant",
                "Token is not allowed, because of invalid or empty chainId",
            ),
            "refused",
            id="exact-chain",
        ),
        pytest.param(
            "XERO", 400, oauth_error("unsupported_grant_type"), "misconfigured"
        ),
        pytest.param(
            "XERO",
            400,
            oauth_error("invalid_grant", "Token has been expired or revoked."),
            "refused",
        ),
        pytest.param(
            "QUICKBOOKS",
            400,
            oauth_error("invalid_grant", "Token invalid"),
            "refused",
        ),
        pytest.param(
            "ZOHO_BOOKS", 200, oauth_error("invalid_code"), "refused", id="zoho-revoked"
        ),
        pytest.param(
            "ZOHO_BOOKS",
            200,
            oauth_error("invalid_client"),
            "misconfigured",
            id="zoho-client",
        ),
        pytest.param(
            "ZOHO_BOOKS",
            400,
            json.dumps(
                {
                    "error_description": "You have made too many requests "
                    "continuously. Please try again after some time.",
                    "error": "Access Denied",
                    "status": "failure",
                }
            ),
            "throttled",
            id="zoho-throttled",
        ),
    ],
)
def test_refusals(name, status, body, kind):
    """The token endpoint's published errors are taken for what they are."""
    kind_of_body = "application/json" if body.startswith("{") else "text/html"
    outcome = classify(
        getattr(providers, name),
        status=status,
        headers={"Content-Type": kind_of_body},
        body=body.encode(),
        asked_at=0.0,
        now=0.0,
    )
    assert outcome.kind is OutcomeKind(kind)


XML_FAULT = (
    '<IntuitResponse><Fault type="AuthenticationFault"><Error code="100">'
    "<Message>General Authentication Error</Message></Error></Fault></IntuitResponse>"
)


@pytest.mark.parametrize(
    ("name", "status", "challenge", "body", "verdict"),
    [
        pytest.param(
            "XERO",
            401,
            "",
            {
                "Type": None,
                "Title": "Unauthorized",
                "Status": 401,
                "Detail": "TokenExpired: token expired at 04/09/2023 05:16:59",
            },
            Verdict.INVALID,
            id="xero-expired",
        ),
        pytest.param(
            "XERO",
            401,
            "Bearer error=invalid_token",
            {"title": "Unauthorized", "detail": "AuthenticationUnsuccessful"},
            Verdict.INVALID,
            id="xero-challenge",
        ),
        pytest.param(
            "XERO",
            403,
            "",
            {"title": "Forbidden", "detail": "AuthenticationUnsuccessful"},
            None,
            id="xero-tenant",
        ),
        pytest.param(
            "QUICKBOOKS",
            401,
            "",
            {"fault": {"error": [{"code": "3200"}], "type": "AUTHENTICATION"}},
            Verdict.INVALID,
            id="quickbooks-3200",
        ),
        pytest.param(
            "QUICKBOOKS", 401, "", XML_FAULT, Verdict.INVALID, id="quickbooks-xml"
        ),
        pytest.param(
            "QUICKBOOKS",
            403,
            "",
            {"fault": {"error": [{"code": "3100"}], "type": "SERVICE"}},
            None,
            id="quickbooks-3100",
        ),
        pytest.param(
            "FRESHBOOKS",
            401,
            "",
            {
                "error_type": "unauthenticated",
                "message": "This action requires authentication to continue",
            },
            Verdict.INVALID,
            id="freshbooks",
        ),
        pytest.param(
            "FREEAGENT",
            401,
            "",
            {"errors": {"error": {"message": "Access token not recognised"}}},
            Verdict.INVALID,
            id="freeagent",
        ),
        pytest.param(
            "MONEYBIRD",
            401,
            "",
            {"error": "token is invalid", "symbolic": {"request": "invalid_grant"}},
            Verdict.INVALID,
            id="moneybird",
        ),
        pytest.param(
            "ZOHO_BOOKS",
            401,
            "",
            {"code": 57, "message": "You are not authorized"},
            Verdict.INVALID,
            id="zoho-57",
        ),
        pytest.param(
            "ZOHO_BOOKS",
            404,
            "",
            {"code": 1002, "message": "Invoice does not exist."},
            None,
            id="zoho-1002",
        ),
        *(
            pytest.param(name, 401, "", "", Verdict.INVALID, id=f"{name}-bare")
            for name in ("EXACT_ONLINE", "FORTNOX", "SAGE_ACCOUNTING", "TEAMLEADER")
        ),
        pytest.param(
            "BILLIT",
            401,
            "",
            {"errors": [{"Code": "AccessTokenExpired"}]},
            Verdict.EXPIRED,
            id="billit-expired",
        ),
        pytest.param("BILLIT", 401, "", "", None, id="billit-bare"),
        *(
            pytest.param(name, status, "", {"message": "no"}, None, id=f"{name}-{what}")
            for name in BY_THE_RFC
            for status, what in ((403, "forbidden"), (429, "throttled"), (500, "down"))
        ),
    ],
)
def test_expiry_signals(name, status, challenge, body, verdict):
    """The API's published answers are read as the token's fault, or as none of it."""
    left = candidates(
        getattr(providers, name).expiry_signals,
        status,
        [challenge] if challenge else [],
    )
    signal = first_match(left, body if isinstance(body, dict) else ABSENT)
    assert (signal and signal.verdict) is verdict
