"""Moneybird (Netherlands).

Sources are named beside the field that they speak for; "unknown" was looked for and
not found.  Nothing here was tried against a live host.
"""

from __future__ import annotations

from everbearer.providers._standard import standard_provider

__all__ = ["MONEYBIRD"]

MONEYBIRD = standard_provider(
    "moneybird",
    # developer.moneybird.com/authentication, also for what is not said otherwise.
    authorize_url="https://moneybird.com/oauth/authorize",
    token_url="https://moneybird.com/oauth/token",
    api_base="https://moneybird.com/api/v2",
    # The page's requests have both in the body.
    client_authentication="client_secret_post",
    # Neither documented nor tried by others.
    pkce=None,
    # What is granted where the link names none.
    scopes=("sales_invoices",),
    # "Both the access token and the refresh token should be persisted"; whether a
    # refresh token is replaced, and how long one lives: unknown.
    rotation="every_use",
    replay_window=0.0,
    # expires_in comes "in case the access token can expire", and so far it does not
    # (nango.dev, Moneybird guide); developers.apideck.com says one hour.  Left open.
    default_lifetime=None,
    # picqer/moneybird-php-client#188: 401 {"error": "token is invalid", ...}.
    bare_401=True,
)
