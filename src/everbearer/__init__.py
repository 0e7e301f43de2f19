"""Call OAuth-protected invoicing APIs without ever seeing a token expire.

A request through a session of an account takes this path, a folder each:

1. ``transport`` attaches the account's access token, for allowed origins only.
2. ``refresh`` is asked only if that token is stale, expired or rejected.  It decides
   from a table, takes a lease in the store, and
3. ``token_endpoint`` asks the provider for a new token,
4. ``stores`` keeps it, sealed, before anybody uses it.
5. ``transport`` sends the request; if the provider says in its own way that the token
   is no good (``providers``), 2 to 4 happen and the request is sent once more.

``authorization`` gets the first token; ``client`` wires all of it together.
"""

from importlib.metadata import version

from everbearer.client import Client
from everbearer.errors import (
    AuthorizationRequired,
    CallbackError,
    ConfigurationError,
    EverbearerError,
    LeaseLost,
    StoreError,
    TemporarilyUnavailable,
    TokenEndpointError,
)
from everbearer.providers import Registration
from everbearer.refresh import Timing
from everbearer.stores import Keyring
from everbearer.tokens import AccountStatus, Token
from everbearer.transport import AccountSession

__version__ = version("everbearer")

__all__ = [
    "AccountSession",
    "AccountStatus",
    "AuthorizationRequired",
    "CallbackError",
    "Client",
    "ConfigurationError",
    "EverbearerError",
    "Keyring",
    "LeaseLost",
    "Registration",
    "StoreError",
    "TemporarilyUnavailable",
    "Timing",
    "Token",
    "TokenEndpointError",
]
