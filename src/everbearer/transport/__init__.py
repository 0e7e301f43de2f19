"""REQUEST PATH: attach the token, send, judge the answer, send once more."""

from everbearer.transport._account_facts import is_accepted, read_facts
from everbearer.transport._callers import middlewares_of
from everbearer.transport._connections import Connections
from everbearer.transport._home import Home
from everbearer.transport._http import Http
from everbearer.transport._middleware import AccountMiddleware
from everbearer.transport._origin import ApiBase
from everbearer.transport._session import Account, AccountSession

__all__ = [
    "Account",
    "AccountMiddleware",
    "AccountSession",
    "ApiBase",
    "Connections",
    "Home",
    "Http",
    "is_accepted",
    "middlewares_of",
    "read_facts",
]
