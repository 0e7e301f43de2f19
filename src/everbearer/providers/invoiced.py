"""Invoiced (United States).

Seed: "Developing on Invoiced, OAuth".  "Backend copy" is public code that looks like
its server: observed, not promised.  "League" is league/oauth2-server 8.5.4, which that
uses.  "Unknown" was looked for and not found.
"""

from __future__ import annotations

from everbearer import vocabulary as v
from everbearer.providers._connect_link import AuthorizeEndpoint
from everbearer.providers._description import (
    ErrorRule,
    Hosts,
    Provider,
    TokenAnswer,
    TokenCall,
    TokenVerdict,
)
from everbearer.providers._standard import BARE_401, STANDARD_ERROR_RULES

__all__ = ["INVOICED"]

_YEAR = 365 * 86400.0


def _rule(verdict: TokenVerdict, *messages: str) -> ErrorRule:
    """Backend copy: all errors are 400 ``{"type": "invalid_request", "message"}``.

    The messages are League's; nothing else tells them apart.
    """
    return ErrorRule(verdict, json_path=("message",), values=frozenset(messages))


INVOICED = Provider(
    name="invoiced",
    hosts={
        # Seed: in the sandbox "change all urls from invoiced.com to
        # sandbox.invoiced.com".
        "production": Hosts(
            login="https://invoiced.com",
            token="https://invoiced.com",
            api="https://api.invoiced.com",
        ),
        "sandbox": Hosts(
            login="https://sandbox.invoiced.com",
            token="https://sandbox.invoiced.com",
            api="https://api.sandbox.invoiced.com",
        ),
    },
    environment="production",
    authorize=AuthorizeEndpoint("/oauth/authorize"),
    exchange=TokenCall(
        # Seed, step 2.2: curl -d, which is a form.
        "/oauth/access_token",
        v.CODE,
        encoding="form",
        client_authentication="client_secret_post",
        fixed={v.GRANT_TYPE: v.AUTHORIZATION_CODE},
        sends_redirect_uri=True,
    ),
    refresh=TokenCall(
        "/oauth/access_token",
        v.REFRESH_TOKEN,
        encoding="form",
        # Seed, step 3: not in the list of parameters, but in the example; League asks
        # for them.
        client_authentication="client_secret_post",
        fixed={v.GRANT_TYPE: v.REFRESH_TOKEN},
    ),
    # Backend copy: 204, and it is the access token that is given.
    revoke=TokenCall(
        "/oauth/revoke",
        v.TOKEN,
        encoding="form",
        client_authentication="client_secret_post",
    ),
    revokes=(v.ACCESS_TOKEN,),
    answer=TokenAnswer(
        # Seed: 3600.
        default_lifetime=3600.0,
    ),
    # Seed, step 2.1: read_write or read.
    scopes=("read_write",),
    # PKCE is not documented.
    # League: the old refresh token is revoked at once, and the old access token too.
    rotation="every_use",
    replay_window=0.0,
    old_access_dies=True,
    # Backend copy: a year, and a fresh one with every refresh.
    refresh_idle_lifetime=_YEAR,
    # API reference: 401, with 403 for what is not allowed.  Backend copy: one text for
    # expired, revoked and wrong tokens, and a challenge for Basic whatever was sent, so
    # the challenge says nothing.
    expiry_signals=(BARE_401,),
    error_rules=(
        _rule(
            TokenVerdict.REFUSED,
            # Expired, revoked, unreadable, or another client's.
            "The refresh token is invalid.",
            # Of a code.
            "The provided authorization grant (e.g., authorization code, resource "
            "owner credentials) or refresh token is invalid, expired, revoked, does "
            "not match the redirection URI used in the authorization request, or was "
            "issued to another client.",
        ),
        _rule(
            TokenVerdict.MISCONFIGURED,
            "Client authentication failed",
            "The authorization grant type is not supported by the authorization "
            "server.",
            "The requested scope is invalid, unknown, or malformed",
        ),
        # "The request is missing a required parameter, ..." is also what League says of
        # an expired code: UNRECOGNISED, which never ends a grant at once.
        # After them: League's own form has both "error" and "message", and says
        # invalid_request of a refresh token that is refused.
        *STANDARD_ERROR_RULES,
    ),
    # invoiced-python sends Idempotency-Key, but the backend copy heeds it for API keys
    # only: so no header makes an unsafe call safe to send again here.
)
