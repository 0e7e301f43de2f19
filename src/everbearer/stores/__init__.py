"""WHERE records live: one protocol, and a back end for each kind of place."""

from everbearer.stores._feed import Change, Telling, subscribe
from everbearer.stores._open import open_store
from everbearer.stores._protocol import (
    BEGINNING,
    Due,
    TakenAuthorization,
    TokenStore,
)
from everbearer.stores._resealing import (
    Resealed,
    Resealing,
    Sealed,
    SealedRecords,
    reseal,
    sealed_in,
)
from everbearer.stores._restored import RESTORED, Doubt, Pace, doubt
from everbearer.stores._sharing import hold, let_go
from everbearer.stores._spill import Spill, Spills, UnreadableSpill
from everbearer.stores._spill_home import Place, SpillHome, Spilling, spills_of
from everbearer.stores._writes import (
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
from everbearer.stores.keyring import Keyring
from everbearer.stores.memory import MemoryStore
from everbearer.stores.sqlite import SqliteStore

__all__ = [
    "BEGINNING",
    "RESTORED",
    "Acquired",
    "Asked",
    "Change",
    "Doubt",
    "Due",
    "Keyring",
    "MemoryStore",
    "NewGrant",
    "Pace",
    "Place",
    "Refusal",
    "Released",
    "Replaced",
    "Replacement",
    "Resealed",
    "Resealing",
    "Rotation",
    "Sealed",
    "SealedRecords",
    "Settlement",
    "Spill",
    "SpillHome",
    "Spilling",
    "Spills",
    "SqliteStore",
    "TakenAuthorization",
    "Telling",
    "TokenStore",
    "UnreadableSpill",
    "doubt",
    "hold",
    "let_go",
    "open_store",
    "reseal",
    "sealed_in",
    "spills_of",
    "subscribe",
]
