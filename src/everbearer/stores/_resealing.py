"""What is sealed in a store, and sealing it anew while others work with it.

Nothing here decides about a record.  Its sealed part is opened, sealed again, and put
back only where nobody has written another one meanwhile: neither token nor version
changes, nobody who waits is woken, and whoever is about to write it reads again.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Protocol

from attrs import evolve, field, frozen

from everbearer.errors import ConfigurationError, EverbearerError
from everbearer.stores._protocol import TokenStore
from everbearer.stores._seal import TOKEN, open_sealed, seal, sealed_with
from everbearer.stores._serialize import parse_record
from everbearer.tokens import AccountKey, status_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from everbearer.stores.keyring import Keyring
    from everbearer.tokens import AccountStatus

__all__ = ["Resealed", "Resealing", "Sealed", "SealedRecords", "reseal", "sealed_in"]


@frozen
class Sealed:
    """A row with a sealed part, not opened.

    Attributes:
        kind: Which kind of row, as `_seal` names it.

        key: Whose.

        columns: All that is not sealed.

        sealed: The rest.
    """

    kind: str
    key: AccountKey
    columns: Mapping[str, Any] = field(repr=False)
    sealed: bytes = field(repr=False)

    @property
    def is_grant(self) -> bool:
        """Whether it is an account's record, not an authorization under way."""
        return self.kind == TOKEN

    def status(self) -> AccountStatus:
        """What the columns of a grant tell, without any key.

        That is all but scope, extra and whether there is a refresh token.

        Raises:
            StoreError: They make no sense.
        """
        record = parse_record(self.columns, b'{"refresh_token":""}').record
        return status_of(self.key, record)


class SealedRecords(Protocol):
    """What is sealed in one store.

    Attributes:
        keyring: The store's.
    """

    @property
    def keyring(self) -> Keyring:
        """The store's."""
        ...

    def all(self) -> AsyncIterator[Sealed]:
        """Every row: grants by provider and account, then pending authorizations.

        They are read a page at a time.  Those that come to be meanwhile may be
        missing: they are sealed with the active key of whoever writes them.
        """
        ...

    async def exchange(self, found: Sealed, anew: bytes) -> bytes | None:
        """Put *anew* in the place of what was *found* sealed, if that is still there.

        Returns:
            What is there then; None if nothing is.
        """
        ...


class _Sealing(TokenStore, Protocol):
    """A store that seals."""

    async def sealed(self) -> SealedRecords:
        """What is sealed in it."""
        ...


class Resealing(Enum):
    """What became of a row."""

    ANEW = auto()
    """It was sealed anew."""
    ALREADY = auto()
    """It opens with the active key."""
    GONE = auto()
    """It was deleted, or used, before its turn."""
    UNOPENED = auto()
    """It does not open, and is as it was."""


@frozen
class Resealed:
    """What became of *row*; *trouble* says why it does not open."""

    row: Sealed
    outcome: Resealing
    trouble: str = ""


async def sealed_in(store: TokenStore) -> SealedRecords:
    """What is sealed in *store*, which is open.

    Raises:
        ConfigurationError: It does not seal.
    """
    sealing: _Sealing | None = store if hasattr(store, "sealed") else None  # type: ignore[assignment]
    if sealing is None:
        raise ConfigurationError(f"a {type(store).__name__} seals nothing")
    return await sealing.sealed()


async def reseal(records: SealedRecords) -> AsyncIterator[Resealed]:
    """Seal every row with the active key, and tell what became of each.

    It may be left at any row and begun again.  Where every row is ALREADY, no older
    key is needed any more.

    Raises:
        StoreError: The store cannot be read or written.
    """
    async for found in records.all():
        yield await _resealed(records, found)


async def _resealed(records: SealedRecords, found: Sealed) -> Resealed:
    keyring = records.keyring
    while True:
        try:
            plain = open_sealed(keyring, found.sealed, found.kind, found.key)
        except EverbearerError as error:
            return Resealed(found, Resealing.UNOPENED, str(error))
        if sealed_with(found.sealed) == keyring.active.id:
            return Resealed(found, Resealing.ALREADY)
        anew = seal(keyring, plain, found.kind, found.key)
        there = await records.exchange(found, anew)
        if there is None:
            return Resealed(found, Resealing.GONE)
        if there == anew:
            return Resealed(found, Resealing.ANEW)
        # Somebody has written it meanwhile, perhaps with an older key.
        found = evolve(found, sealed=there)
