"""WHEN: the refresh transaction, exactly once however many notice."""

from everbearer.refresh._account import AccountTokens
from everbearer.refresh._refresher import Refresher
from everbearer.refresh._timing import Timing

__all__ = ["AccountTokens", "Refresher", "Timing"]
