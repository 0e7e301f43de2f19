"""Fortnox (Sweden).

Sources are named beside the field that they speak for; "unknown" was looked for and
not found.  Nothing here was tried against a live host.
"""

from __future__ import annotations

from attrs import evolve

from everbearer.providers._standard import standard_provider

__all__ = ["FORTNOX"]

FORTNOX = evolve(
    standard_provider(
        "fortnox",
        # fortnox.se/developer/authorization and the pages below it, for all of this.
        authorize_url="https://apps.fortnox.se/oauth-v1/auth",
        token_url="https://apps.fortnox.se/oauth-v1/token",
        # .../revoke-access-token: the refresh token, with its hint.
        revoke_url="https://apps.fortnox.se/oauth-v1/revoke",
        api_base="https://api.fortnox.se/3",
        # softwerkab/fortnox-csharp-api-sdk#234: without it the grant may be short.
        authorize_params={"access_type": "offline"},
        # Scopes are those that the app was registered with: name them in the
        # registration.
        # Single use; "concurrent refreshes may invalidate".
        rotation="every_use",
        replay_window=0.0,
        default_lifetime=3600.0,
        # Status and body for an expired token: unknown.  Codes 2000310 and 2000311
        # (docs.rs/fortnox, api_error_code.rs) are of the login before OAuth.
        bare_401=True,
    ),
    # fortnox.se/developer/authorization: 45 days (an older FAQ has 31).
    refresh_idle_lifetime=45 * 86400.0,
)
