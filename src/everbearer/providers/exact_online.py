"""Exact Online.

Sources are named beside the field that they speak for; "unknown" was looked for and
not found.  Nothing here was tried against a live host.
"""

from __future__ import annotations

from attrs import evolve

from everbearer.providers._description import (
    ErrorRule,
    Hosts,
    TokenVerdict,
)
from everbearer.providers._standard import STANDARD_ERROR_RULES, standard_provider

__all__ = ["EXACT_ONLINE"]


def _country(ending: str) -> Hosts:
    """Login, token endpoint and API of one country are one host."""
    host = f"https://start.exactonline.{ending}"
    return Hosts(host, host, host)


_TOO_EARLY = ErrorRule(
    # websmurf/laravel-exact-online#31.  The code alone, access_denied, says too little.
    TokenVerdict.TOO_EARLY,
    statuses=frozenset({400}),
    json_path=("error_description",),
    values=frozenset({"Rate limit exceeded: access_token not expired"}),
)
_EXPIRED = ErrorRule(
    # websmurf/laravel-exact-online#23: an expired refresh token is answered with
    # invalid_request, and a sentence that goes on with the date.
    TokenVerdict.REFUSED,
    json_path=("error_description",),
    values=frozenset({"The refresh token expired at "}),
    beginning=True,
)

EXACT_ONLINE = evolve(
    standard_provider(
        "exact_online",
        authorize_url="https://start.exactonline.nl/api/oauth2/auth",
        token_url="https://start.exactonline.nl/api/oauth2/token",
        api_base="https://start.exactonline.nl",
        # The open catalogue of OAuth providers uses Basic; picqer/exact-php-client
        # sends both in the body.
        client_authentication="client_secret_basic",
        # The rights are the app's, not the link's: no scopes.
        # picqer/exact-php-client#300: "not ... possible anymore to re-use a refresh
        # token more than once".
        rotation="every_use",
        # forums.invantive.com, 1419: the old one may stay until the new one is used,
        # depending on a setting of the app.  That is no number of seconds, so none.
        replay_window=0.0,
        # websmurf/laravel-exact-online#31, PipedreamHQ/pipedream#1655: a token of 600 s
        # can be replaced in its last 30 s only.
        minimum_age=570.0,
        # Inside those 30 s, with 5 s for the time that a request takes.
        leeway=25.0,
        # forums.invantive.com, 1419.
        default_lifetime=600.0,
        # vendure's exact-online plugin reads a 401 so; its body: unknown.
        bare_401=True,
    ),
    hosts={
        # A company is at its country's host.  Several public clients have this list
        # (picqer/exact-php-client and ossobv/exactonline parts of it).
        "nl": _country("nl"),
        "be": _country("be"),
        "de": _country("de"),
        "es": _country("es"),
        "fr": _country("fr"),
        "uk": _country("co.uk"),
        "us": _country("com"),
    },
    environment="nl",
    # A revocation endpoint: unknown.
    # forums.invantive.com, 2903: 30 days unused at the least, since July 2021.
    refresh_idle_lifetime=30 * 86400.0,
    error_rules=(_TOO_EARLY, _EXPIRED, *STANDARD_ERROR_RULES),
)
