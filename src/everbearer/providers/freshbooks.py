"""FreshBooks.

Sources are named beside the field that they speak for; "unknown" was looked for and
not found.  Nothing here was tried against a live host.
"""

from __future__ import annotations

from attrs import evolve

from everbearer import vocabulary as v
from everbearer.providers._description import Callback, TokenCall
from everbearer.providers._standard import standard_provider

__all__ = ["FRESHBOOKS"]

FRESHBOOKS = evolve(
    standard_provider(
        "freshbooks",
        # freshbooks.com/developers/authentication.
        authorize_url="https://auth.freshbooks.com/oauth/authorize",
        token_url="https://api.freshbooks.com/auth/oauth/token",
        api_base="https://api.freshbooks.com",
        # Client id and secret are listed in the body.
        client_authentication="client_secret_post",
        # Scopes are those that the app was registered with; the page's link has none.
        # "Single use"; a refresh token does not expire.
        rotation="every_use",
        replay_window=0.0,
        # The page: 12 hours.
        default_lifetime=43200.0,
        # freshbooks/freshbooks-nodejs-sdk#506: a 401 with "UNAUTHORIZED" at one
        # resource and error_type "unauthenticated" at another.
        bare_401=True,
    ),
    # The page: "Redirect URIs also cannot contain query string parameters".
    callback=Callback(redirect_query_allowed=False),
    # FreshBooks' published requests: JSON, and no token_type_hint.
    revoke=TokenCall(
        "/auth/oauth/revoke",
        v.TOKEN,
        encoding="json",
        client_authentication="client_secret_post",
    ),
)
