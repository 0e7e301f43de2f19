"""WHAT is held for an account: the token, the record around it, and its status."""

from everbearer.tokens._pending import PendingAuthorization
from everbearer.tokens._record import (
    AccountKey,
    BackOff,
    BackOffKind,
    Intent,
    Lease,
    Standing,
    TokenRecord,
    account_key,
)
from everbearer.tokens._source import TokenSource
from everbearer.tokens._status import AccountStatus, status_of
from everbearer.tokens._token import Token

__all__ = [
    "AccountKey",
    "AccountStatus",
    "BackOff",
    "BackOffKind",
    "Intent",
    "Lease",
    "PendingAuthorization",
    "Standing",
    "Token",
    "TokenRecord",
    "TokenSource",
    "account_key",
    "status_of",
]
