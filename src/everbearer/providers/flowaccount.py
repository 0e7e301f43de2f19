"""FlowAccount (Thailand).

Seed: "วิธีเชื่อมต่อแบบ Authorization Code".  Other sources are named beside the field that
they speak for; "unknown" was looked for and not found.
"""

from __future__ import annotations

from everbearer import vocabulary as v
from everbearer.providers._connect_link import AuthorizeEndpoint
from everbearer.providers._description import Hosts, Provider, TokenAnswer, TokenCall
from everbearer.providers._standard import (
    BARE_401,
    STANDARD_ERROR_RULES,
    STANDARD_EXPIRY_SIGNALS,
)

__all__ = ["FLOWACCOUNT"]

_DAY = 86400.0

FLOWACCOUNT = Provider(
    name="flowaccount",
    # The environment is a path for the API and the token endpoint (seed,
    # "{environment}"; flowaccount-openapi-sdk: "v1" and "test"), a host for the login.
    hosts={
        "production": Hosts(
            # Third-party clients; the official pages do not say.
            login="https://auth.flowaccount.com",
            token="https://openapi.flowaccount.com/v1",
            api="https://openapi.flowaccount.com/v1",
        ),
        "sandbox": Hosts(
            login="https://sandbox-auth.flowaccount.com",  # Seed.
            token="https://openapi.flowaccount.com/test",
            api="https://openapi.flowaccount.com/test",
        ),
    },
    environment="production",
    authorize=AuthorizeEndpoint("/connect/authorize"),
    exchange=TokenCall(
        # Seed: "x-www-form-urlencoded", with client_id and client_secret.  Basic is not
        # documented.
        "/token",
        v.CODE,
        encoding="form",
        client_authentication="client_secret_post",
        fixed={v.GRANT_TYPE: v.AUTHORIZATION_CODE},
        sends_redirect_uri=True,
    ),
    refresh=TokenCall(
        "/token",
        v.REFRESH_TOKEN,
        encoding="form",
        client_authentication="client_secret_post",
        fixed={v.GRANT_TYPE: v.REFRESH_TOKEN},
    ),
    # A revoke call: unknown.
    revoke=None,
    answer=TokenAnswer(
        # Seed: the number of the business that the user chose.
        keep_extra=("supportCode",),
        # Seed: expires_in; how long that is in this flow: unknown.
    ),
    # Seed: without offline_access there is no refresh token.
    scopes=("flowaccount-api", "offline_access"),
    # PKCE is not documented.
    # Seed, warning: a new refresh token at every refresh, keep the latest only.
    rotation="every_use",
    # Whether the one before is taken once more: unknown, so no.
    replay_window=0.0,
    # Seed: "อายุ 1 วันนับจากการขอ access token ครั้งล่าสุด", a day after the last token
    # request, "as a rule".
    refresh_idle_lifetime=_DAY,
    expiry_signals=(
        *STANDARD_EXPIRY_SIGNALS,
        # openapi.yaml declares 200, 401 and 500 only, and no body for the 401; a token
        # is the one thing that all calls have in common (inferred).
        BARE_401,
    ),
    # Status and body of a refusal: unknown.  The SDK has an "error" string, and the
    # paths look like IdentityServer, which follows RFC 6749 section 5.2 (inferred).
    error_rules=STANDARD_ERROR_RULES,
    # An idempotency header: none is documented.
)
