"""Sage Accounting (Sage Business Cloud).

Sources are named beside the field that they speak for; "unknown" was looked for and
not found.  Nothing here was tried against a live host.
"""

from __future__ import annotations

from attrs import evolve

from everbearer.providers._description import (
    AccessTokenSpan,
    IdentityHeader,
    TokenAnswer,
)
from everbearer.providers._standard import standard_provider

__all__ = ["SAGE_ACCOUNTING"]

SAGE_ACCOUNTING = evolve(
    standard_provider(
        "sage_accounting",
        # developer.sage.com/accounting/guides/authenticating/authentication, also for
        # what is not said otherwise.  The filter keeps older versions out.
        authorize_url="https://www.sageone.com/oauth2/auth/central",
        authorize_params={"filter": "apiv3.1"},
        token_url="https://oauth.accounting.sage.com/token",
        revoke_url="https://oauth.accounting.sage.com/revoke",
        # Migration guide: one base URL for all countries.
        api_base="https://api.accounting.sage.com/v3.1",
        client_authentication="client_secret_post",
        # Or readonly.
        scopes=("full_access",),
        # maesn.com, "Sage Accounting API integration": each refresh invalidates the
        # previous refresh token.
        rotation="every_use",
        replay_window=0.0,
        # The same: 5 minutes.
        default_lifetime=300.0,
        # Status and body for an expired token: unknown.
        bare_401=True,
        # Who has granted.
        keep_extra=("requested_by_id",),
    ),
    answer=TokenAnswer(
        default_lifetime=300.0,
        refresh_spans=(AccessTokenSpan("refresh_token_expires_in"),),
        keep_extra=("requested_by_id",),
    ),
    # Sage/sageone_api_php_sample#39: that field, and 31 days.
    refresh_idle_lifetime=31 * 86400.0,
    # Which business; without it the user's lead business, which may change.
    identity_headers=(IdentityHeader("X-Business"),),
    # guides/concepts/idempotency: an idempotency_id in the body, so no header.
)
