"""Billit (Belgium).

Seed: "How do I get started with OAuth?".  Other sources are named beside the field
that they speak for; "unknown" was looked for and not found.
"""

from __future__ import annotations

from everbearer import vocabulary as v
from everbearer.providers._description import (
    AccessTokenSpan,
    AccountFacts,
    AuthorizeEndpoint,
    Callback,
    ExpirySignal,
    Hosts,
    IdentityHeader,
    Provider,
    TokenAnswer,
    TokenCall,
    Verdict,
)
from everbearer.providers._standard import STANDARD_ERROR_RULES

__all__ = ["BILLIT"]


def _signals(code: str, verdict: Verdict) -> tuple[ExpirySignal, ExpirySignal]:
    """The same code at a 401, and at any other error status.

    Seed, "Error states", gives the bodies and no status.  A 401 was not carried out
    (RFC 9110 section 15.5.2); of the other statuses that cannot be said.
    """
    path, values = ("errors", "*", "Code"), frozenset({code})
    return (
        ExpirySignal(
            verdict, frozenset({401}), None, path, values, proves_unprocessed=True
        ),
        ExpirySignal(verdict, frozenset(), None, path, values),
    )


BILLIT = Provider(
    name="billit",
    hosts={
        # how-do-i-get-started-with-oauth and sandbox-vs-production.  oauth-faq also
        # prints .eu hosts: use with_hosts() where you were given those.
        "production": Hosts(
            login="https://my.billit.be",
            token="https://api.billit.be",
            api="https://api.billit.be",
        ),
        # Seed.
        "sandbox": Hosts(
            login="https://my.sandbox.billit.be",
            token="https://api.sandbox.billit.be",
            api="https://api.sandbox.billit.be",
        ),
    },
    environment="production",
    authorize=AuthorizeEndpoint(
        "/Account/Logon",
        # Seed: client_id, redirect_uri and state only.  Third-party clients report
        # that the sandbox refuses the login when response_type is present.
        response_type=None,
    ),
    callback=Callback(
        # Seed: what follows "&" in state is not returned.
        state_forbidden="&",
        # Seed: own query parameters "are not allowed in the redirect_uri".
        redirect_query_allowed=False,
    ),
    exchange=TokenCall(
        "/OAuth2/token",
        v.CODE,
        # Seed: "make sure to set body type to Application/json".
        encoding="json",
        # Seed lists both in the body; the page of 2026-05 adds that the request must
        # not carry an Authorization header.
        client_authentication="client_secret_post",
        fixed={v.GRANT_TYPE: v.AUTHORIZATION_CODE},
        sends_redirect_uri=True,
    ),
    refresh=TokenCall(
        "/OAuth2/token",
        v.REFRESH_TOKEN,
        encoding="json",
        client_authentication="client_secret_post",
        fixed={v.GRANT_TYPE: v.REFRESH_TOKEN},
    ),
    # The API reference lists a revoke call; its URL and body are unknown.
    revoke=None,
    answer=TokenAnswer(
        spans=(AccessTokenSpan(v.EXPIRES_IN),),
        # how-do-i-get-started-with-oauth, 2026-05: always 3600.
        default_lifetime=3600.0,
    ),
    # No scopes and no PKCE are documented.
    # how-do-i-get-started-with-oauth, 2026-05: "may be used only once".  The seed's
    # "the refresh token from the initial JSON response" breaks at the second refresh.
    rotation="every_use",
    # A grace period after a lost answer: unknown, so none.
    replay_window=0.0,
    expiry_signals=(
        # A bare 401 is also "not your order" (401.md): only these codes mean the token.
        *_signals("AccessTokenExpired", Verdict.EXPIRED),
        *_signals("InvalidAccessToken", Verdict.INVALID),
        # oauth-faq: the user removed the app.
        *_signals("AccessTokenRevoked", Verdict.REVOKED),
    ),
    # Status and body of a refusal: unknown; RFC 6749 section 5.2 is assumed, and what
    # does not read so is UNRECOGNISED, which never ends a grant at once.
    error_rules=STANDARD_ERROR_RULES,
    # header-values.md: which company; for accountants, on whose behalf.
    identity_headers=(IdentityHeader("PartyID"), IdentityHeader("ContextPartyID")),
    # header-values.md says the first, idempotent-tokens.md the second; a repeat is
    # answered 409 "Idempotent token already exists" and never done twice.
    idempotency_headers=("Idempotent-Key", "Idempotency-Key"),
    # Third-party clients only: asked with nothing but the token it lists the companies
    # with their PartyIDs.  The form of the answer is unknown, so any JSON is kept.
    account_facts=AccountFacts(
        "/v1/account/accountInformation", keep_as="account_information"
    ),
)
