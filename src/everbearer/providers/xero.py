"""Xero.

Sources are named beside the field that they speak for; "unknown" was looked for and
not found.  Nothing here was tried against a live host.
"""

from __future__ import annotations

from attrs import evolve

from everbearer.providers._description import IdentityHeader
from everbearer.providers._standard import standard_provider

__all__ = ["XERO"]

XERO = evolve(
    standard_provider(
        "xero",
        authorize_url="https://login.xero.com/identity/connect/authorize",
        token_url="https://identity.xero.com/connect/token",
        # calcinai/oauth2-xero, Xero.php: the refresh token is what is revoked, and with
        # it goes every organisation that this user connected.
        revoke_url="https://identity.xero.com/connect/revocation",
        # The Identity API and every organisation's API are below this host.
        api_base="https://api.xero.com",
        # A refresh token comes with offline_access only.  Which accounting scopes an
        # app may ask for differs from app to app: name them in the registration, with
        # these.
        scopes=("openid", "offline_access"),
        # developer.xero.com/faq/oauth2: "replace your existing refresh token with the
        # new one"; the existing one may be retried "for a grace period of 30 minutes".
        rotation="every_use",
        replay_window=1800.0,
        # The same page; whether a refresh ends the previous access token: unknown.
        default_lifetime=1800.0,
        # XeroAPI/xero-node#697 and waynerobinson/xeroizer#509: 401 with the Title
        # "Unauthorized".  The other reading, that the organisation is not connected, is
        # a 403 (developer.xero.com/documentation/oauth2/troubleshooting).
        bare_401=True,
    ),
    # developer.xero.com/faq/oauth2: 60 days unused.
    refresh_idle_lifetime=60 * 86400.0,
    # developer.xero.com/documentation/oauth2/troubleshooting: which organisation.
    identity_headers=(IdentityHeader("Xero-tenant-id"),),
    # XeroAPI/Xero-OpenAPI, xero_accounting.yaml, parameter idempotencyKey.
    idempotency_headers=("Idempotency-Key",),
)
