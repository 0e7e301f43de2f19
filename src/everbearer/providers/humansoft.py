"""Humansoft (Thailand; people and payroll, where OAuth is for signing in).

Seed: "Authorization Code Flow".  Other pages of docs.humansoft.co.th are named by their
last part; "unknown" was looked for and not found.
"""

from __future__ import annotations

from everbearer import vocabulary as v
from everbearer.providers._connect_link import AuthorizeEndpoint
from everbearer.providers._description import (
    ErrorRule,
    ExpirySignal,
    Hosts,
    Provider,
    TokenAnswer,
    TokenCall,
    TokenVerdict,
    Verdict,
)
from everbearer.providers._standard import (
    STANDARD_ERROR_RULES,
    STANDARD_EXPIRY_SIGNALS,
)

__all__ = ["HUMANSOFT"]

_AUTH = "https://auth.humansoft.co.th"

HUMANSOFT = Provider(
    name="humansoft",
    hosts={
        # Seed.  The business API on openapi.humansoft.co.th takes an API key in
        # Ocp-Apim-Subscription-Key and is not known to take a token, so the token goes
        # to the authorization server only, whose userinfo is the API here.
        "production": Hosts(login=_AUTH, token=_AUTH, api=_AUTH),
        # A sandbox: unknown.
    },
    environment="production",
    # Seed: source, user_id (in Base64), user_type and instance_server_code may be
    # added; they are the user's, so they go into start(extra=...).
    authorize=AuthorizeEndpoint("/oauth2/v1/authorize"),
    exchange=TokenCall(
        "/oauth2/v1/token",
        v.CODE,
        # "token": application/json.  Where yours takes the form of RFC 6749:
        # with_encoding("form").
        encoding="json",
        # "token": in the body, for confidential clients.
        client_authentication="client_secret_post",
        fixed={v.GRANT_TYPE: v.AUTHORIZATION_CODE},
        sends_redirect_uri=True,
    ),
    refresh=TokenCall(
        # "overview" has the grant; its parameters: unknown, so RFC 6749 section 6.
        "/oauth2/v1/token",
        v.REFRESH_TOKEN,
        encoding="json",
        client_authentication="client_secret_post",
        fixed={v.GRANT_TYPE: v.REFRESH_TOKEN},
    ),
    revoke=TokenCall(
        # "revocation": JSON and Basic, unlike the calls above; 200 {} in any case.
        "/oauth2/v1/revoke",
        v.TOKEN,
        encoding="json",
        client_authentication="client_secret_basic",
    ),
    # "token": client_secret "or" code_verifier (public clients).
    secret_optional=True,
    answer=TokenAnswer(
        # "token": 3600.
        default_lifetime=3600.0,
        # Seed: with the scope openid.  Who the user is stands in it.
        id_token="id_token",
    ),
    # Seed, "Available Scopes".
    scopes=("openid", "profile", "email"),
    # Seed: S256 is recommended, plain is taken.
    pkce="S256",
    # Rotation, and how long a refresh token lives: unknown.  The safe assumption.
    rotation="every_use",
    replay_window=0.0,
    expiry_signals=(
        # "userinfo": {"error": "invalid_token"} for expired and wrong ones alike.  Its
        # other error, invalid_request, means that no token came, and is no signal.
        ExpirySignal(
            Verdict.INVALID,
            statuses=frozenset({401}),
            json_path=(v.ERROR,),
            values=frozenset({v.INVALID_TOKEN}),
            proves_unprocessed=True,
        ),
        *STANDARD_EXPIRY_SIGNALS,
    ),
    error_rules=(
        # Seed, of the authorize endpoint, which shows them to the user as JSON instead
        # of sending a callback; the token endpoint's errors: unknown.
        ErrorRule(
            TokenVerdict.MISCONFIGURED,
            values=frozenset({"Invalid client_id", "Invalid scopes"}),
        ),
        *STANDARD_ERROR_RULES,
    ),
    # An idempotency header: unknown.
)
