"""FreeAgent (United Kingdom).

Sources are named beside the field that they speak for; "unknown" was looked for and
not found.  Nothing here was tried against a live host.
"""

from __future__ import annotations

from attrs import evolve

from everbearer.providers._description import AccessTokenSpan, Hosts, TokenAnswer
from everbearer.providers._standard import standard_provider

__all__ = ["FREEAGENT"]

_LIVE = "https://api.freeagent.com"
_SANDBOX = "https://api.sandbox.freeagent.com"

FREEAGENT = evolve(
    standard_provider(
        "freeagent",
        # dev.freeagent.com/docs/oauth: HTTP Basic; no scopes, no revocation.
        authorize_url=f"{_LIVE}/v2/approve_app",
        token_url=f"{_LIVE}/v2/token_endpoint",
        api_base=f"{_LIVE}/v2",
        # api-discuss.freeagent.com, 2033: a refresh token comes with every refresh;
        # whether it is another one, and ends the one before: unknown.
        rotation="every_use",
        replay_window=0.0,
        # The same notice: one hour, once seven days.
        default_lifetime=3600.0,
        # Public clients look for "Access token not recognised" in a 401.
        bare_401=True,
    ),
    hosts={
        "production": Hosts(_LIVE, _LIVE, f"{_LIVE}/v2"),
        # dev.freeagent.com/docs/oauth: "change the server in the examples".
        "sandbox": Hosts(_SANDBOX, _SANDBOX, f"{_SANDBOX}/v2"),
    },
    answer=TokenAnswer(
        default_lifetime=3600.0,
        # api-discuss.freeagent.com, 6309: its value is not promised, so no default.
        refresh_spans=(AccessTokenSpan("refresh_token_expires_in"),),
    ),
)
