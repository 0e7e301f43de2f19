"""QuickBooks Online (Intuit).

Sources are named beside the field that they speak for; "unknown" was looked for and
not found.  Nothing here was tried against a live host.
"""

from __future__ import annotations

from attrs import evolve

from everbearer import vocabulary as v
from everbearer.providers._description import (
    AccessTokenSpan,
    Callback,
    Hosts,
    TokenAnswer,
    TokenCall,
)
from everbearer.providers._standard import standard_provider

__all__ = ["QUICKBOOKS"]

_LOGIN = "https://appcenter.intuit.com"
_TOKEN = "https://oauth.platform.intuit.com"

QUICKBOOKS = evolve(
    standard_provider(
        "quickbooks",
        authorize_url=f"{_LOGIN}/connect/oauth2",
        token_url=f"{_TOKEN}/oauth2/v1/tokens/bearer",
        api_base="https://quickbooks.api.intuit.com",
        scopes=("com.intuit.quickbooks.accounting",),
        # developer.intuit.com, "Authorization FAQ", and intuit/oauth-jsclient#77: the
        # same refresh token comes back until its value changes, about every 24 hours;
        # the older one then ends.
        rotation="sometimes",
        # How long the older one is still taken after a change: unknown, so none.
        replay_window=0.0,
        default_lifetime=3600.0,
        # routablehq/python-quickbooks#250 (JSON, fault.error[].code 3200) and #120
        # (XML, AuthenticationFault 100): both 401.  A missing right is 403 with 3100.
        bare_401=True,
    ),
    hosts={
        # One login for both: whether a company is a sandbox is the client id's to say.
        "production": Hosts(_LOGIN, _TOKEN, "https://quickbooks.api.intuit.com"),
        # Open catalogue of OAuth providers, alias for the sandbox.
        "sandbox": Hosts(_LOGIN, _TOKEN, "https://sandbox-quickbooks.api.intuit.com"),
    },
    # The company, which every API path has: /v3/company/{realmId}/...
    callback=Callback(keep_extra=("realmId",)),
    # intuit/oauth-pythonclient, client.py: JSON with Basic, and no token_type_hint.
    revoke=TokenCall(
        "https://developer.api.intuit.com/v2/oauth2/tokens/revoke",
        v.TOKEN,
        encoding="json",
    ),
    answer=TokenAnswer(
        default_lifetime=3600.0,
        refresh_spans=(AccessTokenSpan("x_refresh_token_expires_in"),),
    ),
    # intuit/QuickBooks-V3-Java-SDK, release v6.5.4: valid if used "at least every 100
    # days", and now five years at most, which an answer tells only where the request
    # asks for it: not said here.
    refresh_idle_lifetime=100 * 86400.0,
)
