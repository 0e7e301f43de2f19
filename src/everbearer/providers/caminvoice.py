"""CamInvoice (Cambodia, e-invoicing of the Ministry of Economy and Finance).

Seed: "OAuth 2.0 Integration Guide".  Other sources are named beside the field that they
speak for; "unknown" was looked for and not found.
"""

from __future__ import annotations

from everbearer import vocabulary as v
from everbearer.providers._connect_link import AuthorizeEndpoint, Callback
from everbearer.providers._description import (
    AccessTokenSpan,
    ErrorRule,
    Hosts,
    Provider,
    TokenAnswer,
    TokenCall,
    TokenVerdict,
)
from everbearer.providers._standard import BARE_401, STANDARD_ERROR_RULES

__all__ = ["CAMINVOICE"]

_HANDED_OUT = "https://sb-merchant.e-invoice.gov.kh"

CAMINVOICE = Provider(
    name="caminvoice",
    hosts={
        # Seed: "{BaseURL}", one for all, which comes with the credentials.  This one is
        # in the official sample (e-invoice-integration).  Production: unknown, so there
        # is none; give yours to with_hosts().
        "sandbox": Hosts(login=_HANDED_OUT, token=_HANDED_OUT, api=_HANDED_OUT),
    },
    environment="production",
    authorize=AuthorizeEndpoint(
        "/connect",
        # Seed, step 1: client_id, redirect_url and state, and nothing else.
        redirect_uri_name="redirect_url",
        response_type=None,
    ),
    callback=Callback(
        # Seed, step 2: "redirect_url?authToken={authToken}".
        code_name="authToken",
        # The seed calls it "a state between redirects", and its callback has none.
        returns_state=False,
        # Seed: a redirect URL may have a query ("?param1=value1&param2=value2"), and
        # step 2 appends "?authToken=" whatever it has.
        question_mark=True,
    ),
    exchange=TokenCall(
        # Seed, step 3: the token is all there is in the body, without a grant_type.
        "/api/v1/auth/authorize/connect",
        "auth_token",
        encoding="json",
        client_authentication="client_secret_basic",
        # Seed: "base64encode({clientId:clientSecret})".
        plain_basic=True,
    ),
    refresh=TokenCall(
        # Reference page "authentication" (2024-07 and later), and all known clients.
        "/api/v1/auth/token",
        v.REFRESH_TOKEN,
        encoding="json",
        client_authentication="client_secret_basic",
        plain_basic=True,
        # Seed, step 4, and that page until 2024-06-04, without Basic then.
        other_paths=("/api/v1/token",),
    ),
    # Reference page "authentication": Basic, and the business instead of a token.
    revoke=TokenCall(
        "/api/v1/auth/revoke",
        "endpoint_id",
        encoding="json",
        client_authentication="client_secret_basic",
        plain_basic=True,
    ),
    revokes=("business_info", "endpoint_id"),
    redirects=TokenCall(
        # Seed, "Configuration".  The answer: unknown, so any 2xx is a yes.
        "/api/v1/configure/configure-redirect-url",
        "white_list_redirect_urls",
        encoding="json",
        client_authentication="client_secret_basic",
        plain_basic=True,
    ),
    answer=TokenAnswer(
        # Seed: access_token.  The reference page's refresh answers with "token".
        other_access_tokens=("token",),
        spans=(
            # Seed: no lifetime at all.  Sample tokens are JWTs with exp and iat.
            AccessTokenSpan("exp", "claim"),
            # Reference page: a number.  Third-party clients report the next two, as
            # "1d" and "15m".
            AccessTokenSpan("expire_in", "duration"),
            AccessTokenSpan(v.EXPIRES_IN, "duration"),
            AccessTokenSpan("expireIn", "duration"),
            # The official sample's client parses this as a moment; a third-party
            # client reports the last.
            AccessTokenSpan("expire_at", "instant"),
            AccessTokenSpan("expired_at", "instant"),
        ),
        # Reference page: 900.  Sample tokens live an hour or a day.
        default_lifetime=900.0,
        # Seed, step 3: the company, its names in English and Khmer; no userinfo call.
        keep_extra=("business_info",),
    ),
    # No scopes and no PKCE are documented.
    # Reference page: the refresh token is the one of the first connect.  How long it
    # lives: unknown.
    rotation="never",
    # Status table: 401 without or with a bad token, 403 without permission.  Which of
    # expired, invalid and revoked it is: unknown.
    expiry_signals=(BARE_401,),
    error_rules=(
        # Earlier revisions of the reference page, beside an unknown "error".  Today's
        # is a 401 {"message"} that may mean the client or the refresh token, so it is
        # UNRECOGNISED, which never ends a grant at once.
        ErrorRule(
            TokenVerdict.MISCONFIGURED,
            json_path=(v.ERROR_DESCRIPTION,),
            values=frozenset({"Invalid client credentials"}),
        ),
        *STANDARD_ERROR_RULES,
    ),
    # An idempotency header: none is documented.
)
