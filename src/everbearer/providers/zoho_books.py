"""Zoho Books.

Sources are named beside the field that they speak for; "unknown" was looked for and
not found.  Nothing here was tried against a live host.
"""

from __future__ import annotations

from attrs import evolve

from everbearer import vocabulary as v
from everbearer.providers._description import (
    AuthorizeEndpoint,
    Callback,
    ErrorRule,
    Hosts,
    TokenCall,
    TokenVerdict,
)
from everbearer.providers._standard import STANDARD_ERROR_RULES, standard_provider

__all__ = ["ZOHO_BOOKS"]


def _centre(accounts: str, api: str) -> Hosts:
    """A data centre: one host for login and tokens, one for the API."""
    return Hosts(
        f"https://accounts.{accounts}",
        f"https://accounts.{accounts}",
        f"https://www.zohoapis.{api}/books/v3",
    )


ZOHO_BOOKS = evolve(
    standard_provider(
        "zoho_books",
        authorize_url="https://accounts.zoho.com/oauth/v2/auth",
        token_url="https://accounts.zoho.com/oauth/v2/token",
        api_base="https://www.zohoapis.com/books/v3",
        client_authentication="client_secret_post",
        scopes=("ZohoBooks.fullaccess.all",),
        # zoho.com/crm/developer/docs/api/v4/token-validity.html: refresh tokens do not
        # expire, and the answer to a refresh has none.
        rotation="never",
        default_lifetime=3600.0,
        # zoho.com/books/api/v3/errors: "401 Unauthorized (Invalid AuthToken)".
        bare_401=True,
        # Which API host the account is at, to compare with the environment's.
        keep_extra=("api_domain",),
    ),
    hosts={
        # zoho.com/books/api/v3/oauth has the accounts hosts, and the table of data
        # centres of bigin.com/developer/docs/apis/multi-dc.html the API's beside them.
        # Other centres (SA, UK, CN) are not in the list for Books.
        "us": _centre("zoho.com", "com"),
        "eu": _centre("zoho.eu", "eu"),
        "in": _centre("zoho.in", "in"),
        "au": _centre("zoho.com.au", "com.au"),
        "jp": _centre("zoho.jp", "jp"),
        "ca": _centre("zohocloud.ca", "ca"),
    },
    environment="us",
    authorize=AuthorizeEndpoint(
        "/oauth/v2/auth",
        # zoho.com/books/api/v3/oauth: "separated by commas".
        scope_separator=",",
        # Without the first there is no refresh token, without the second none for a
        # user who has consented before.
        fixed={"access_type": "offline", "prompt": "consent"},
    ),
    # zoho.com/accounts/protocol/oauth/multi-dc: where the user's account is.
    callback=Callback(keep_extra=("location", "accounts-server")),
    # zoho.com/bookings/help/api/v1/revoketokens.html has the token in the query, which
    # would put it into logs.  That the body is read here as it is for the token call:
    # not documented.
    revoke=TokenCall(
        "/oauth/v2/token/revoke", v.TOKEN, client_authentication="client_secret_post"
    ),
    # zoho.com/books/api/v3/errors; Bearer is not documented for Books.
    token_scheme="Zoho-oauthtoken",
    error_rules=(
        # zoho.com/developer/docs/vertical-solutions/api/v2/token-validity.html:
        # revoked.  Weble/ZohoBooksApi#84: it comes with status 200.
        ErrorRule(TokenVerdict.REFUSED, values=frozenset({"invalid_code"})),
        # The token-validity pages: over ten tokens in ten minutes.  In both spellings.
        ErrorRule(
            TokenVerdict.THROTTLED, values=frozenset({"Access Denied", "access_denied"})
        ),
        *STANDARD_ERROR_RULES,
    ),
)
