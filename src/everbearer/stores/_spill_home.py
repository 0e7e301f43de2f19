"""Where the spills of a store go, and with which keys."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Protocol, runtime_checkable

from attrs import frozen

from everbearer.errors import ConfigurationError
from everbearer.stores._spill import Spills
from everbearer.stores.keyring import KEYS_VARIABLE, Keyring

if TYPE_CHECKING:
    from everbearer.stores._protocol import TokenStore

__all__ = ["Place", "SpillHome", "Spilling", "spills_of"]

_OWN: Final = Path("everbearer", "spill")

Place = str | os.PathLike[str] | Literal[False] | None
"""A folder; None for the places that the store names; False for none at all."""


@frozen
class SpillHome:
    """What a store says of its spills.

    Attributes:
        name: Tells this store from every other one that this host may use.

        keyring: What the store seals with, or None while that is not known.

        beside: A folder next to the store's own file, if it has one.
    """

    name: str
    keyring: Keyring | None
    beside: Path | None = None


@runtime_checkable
class Spilling(Protocol):
    """A store with this method has its unsaved rotations spilled by default."""

    def spill_home(self) -> SpillHome:
        """Where to, once the store is open."""
        ...


def spills_of(
    store: TokenStore, told: Place, keyring: Keyring | None = None
) -> Spills | None:
    """The spills of *store*, which is open; None if it is to have none.

    Args:
        store: The store.

        told: What the user said.

        keyring: For a store that does not seal.

    Raises:
        ConfigurationError: *told* is no folder, or ``EVERBEARER_KEYS`` is malformed.
    """
    if told is not False and not isinstance(told, str | os.PathLike | None):
        raise ConfigurationError("spill is a folder, or False for none, or None")
    home = store.spill_home() if isinstance(store, Spilling) else None
    if told is False or (told is None and home is None):
        return None
    if home is None:
        kind = type(store)
        home = SpillHome(f"{kind.__module__}.{kind.__qualname__}", keyring)
    keys = home.keyring or keyring
    if keys is None and os.environ.get(KEYS_VARIABLE):
        keys = Keyring.from_environment()
    own = hashlib.blake2b(home.name.encode("utf-8", "replace"), digest_size=8)
    if told is not None:
        return Spills((Path(told).absolute() / own.hexdigest(),), keys)
    places = (home.beside, _state_folder(own.hexdigest()), _volatile(own.hexdigest()))
    return Spills(tuple(place for place in places if place is not None), keys)


def _state_folder(name: str) -> Path | None:
    """Where a user's programs keep what is not configuration (XDG base directories)."""
    told = os.environ.get("XDG_STATE_HOME", "")
    if sys.platform == "win32":
        told = told or os.environ.get("LOCALAPPDATA", "")
    # The specification: a relative path is to be ignored.
    if told and Path(told).is_absolute():
        return Path(told) / _OWN / name
    try:
        return Path.home() / ".local" / "state" / _OWN / name
    except RuntimeError:
        return None  # A user without a home.


def _volatile(name: str) -> Path | None:
    """Gone with the machine's next start, and often on another file system."""
    told = os.environ.get("XDG_RUNTIME_DIR", "")
    if told and Path(told).is_absolute():
        return Path(told) / _OWN / name
    if os.name != "posix":
        return None
    # One folder and no more: whoever owns one above it could take it away.
    shared = os.environ.get("TMPDIR") or "/tmp"  # noqa: S108 - its owner is checked
    return Path(shared).absolute() / f"everbearer-{os.geteuid()}-{name}"
