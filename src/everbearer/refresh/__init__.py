"""WHEN: the refresh transaction, exactly once however many notice."""

from everbearer.refresh._account import AccountTokens
from everbearer.refresh._learning import learn
from everbearer.refresh._refresher import Refresher
from everbearer.refresh._revoking import revoking
from everbearer.refresh._timing import Timing
from everbearer.refresh.keeper import age_of

__all__ = [
    "AccountTokens",
    "Refresher",
    "Timing",
    "age_of",
    "learn",
    "revoking",
]
