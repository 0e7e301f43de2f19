"""WHERE records live: one protocol, and a back end for each kind of place."""

from everbearer.stores._protocol import TakenAuthorization, TokenStore
from everbearer.stores._transitions import (
    Acquired,
    Asked,
    NewGrant,
    Refusal,
    Released,
    Replaced,
    Replacement,
    Rotation,
    Settlement,
)

__all__ = [
    "Acquired",
    "Asked",
    "NewGrant",
    "Refusal",
    "Released",
    "Replaced",
    "Replacement",
    "Rotation",
    "Settlement",
    "TakenAuthorization",
    "TokenStore",
]
