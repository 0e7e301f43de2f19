"""What a store is asked to write, and what it answers."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Protocol

from attrs import frozen

if TYPE_CHECKING:
    from everbearer.errors import Reason
    from everbearer.tokens import BackOff, Intent, Token, TokenRecord

__all__ = [
    "Acquired",
    "Asked",
    "NewGrant",
    "Outcome",
    "Refusal",
    "Released",
    "Replaced",
    "Replacement",
    "Rotation",
    "Settlement",
]


class Outcome(Protocol):
    """What every change of a record answers with."""

    @property
    def record(self) -> TokenRecord | None:
        """As it is after it, if there is one."""
        ...


@frozen
class Asked:
    """Who asks for the lease: random *id* of the flight, its process, seconds."""

    id: str
    holder: str
    term: float


@frozen
class Acquired:
    """The answer to `acquire` and `renew`.

    Attributes:
        record: As it is now.

        granted: Whether the asker holds the lease.

        found: The live intent that was there before, somebody's unfinished attempt.

        now: The store's clock.
    """

    record: TokenRecord
    granted: bool
    found: Intent | None
    now: float


@frozen
class Settlement:
    """How a flight that stores no token leaves the record.

    Attributes:
        found: The intent that its `acquire` found.

        restore: Whether it is certain that nothing was spent: then the intent is put
            back to *found* (rule 2).  Otherwise it stays (rule 3).

        back_off: What to remember, or None.  Its ``until`` and ``first_at`` are
            seconds from now, made absolute by the store's clock.
    """

    found: Intent | None = None
    restore: bool = False
    back_off: BackOff | None = None


@frozen
class Released:
    """The record after `release`, and the store's clock."""

    record: TokenRecord
    now: float


@frozen
class Rotation:
    """A token response to be stored.

    Attributes:
        incarnation, version: Of the record that was spent (rule 12).  A store that has
            an older version of it lost the newest, and takes this one.

        token: The successor, already merged with what it leaves out.

        flight: Its lease id, which is given back by the same write.

        rejections: The record's new count (rule 20).

        spent: Fingerprint of the refresh token that was presented for it.

        age: Seconds since it was issued.
    """

    incarnation: str
    version: int
    token: Token
    flight: str
    rejections: int = 0
    spent: str = ""
    age: float = 0.0


@frozen
class Refusal:
    """The account needs its user.

    Attributes:
        incarnation, fingerprint: The refusal counts for that refresh token of that
            authorization and for no other (rule 15).

        reason, detail: What the user is told.

        flight: Its lease id, which is given back by the same write.
    """

    incarnation: str
    fingerprint: str
    reason: Reason
    flight: str = ""
    detail: str = ""


@frozen
class NewGrant:
    """An authorization to be stored.

    Attributes:
        incarnation: Random (rule 13).

        token: As granted or adopted.

        client_id, token_origin: The registration it was made with.

        if_absent: A stored grant wins, unless it needs authorization and the offered
            refresh token is none that was ever stored for the account.

        age: Seconds since the token was issued, as far as is known.
    """

    incarnation: str
    token: Token
    client_id: str
    token_origin: str
    if_absent: bool = False
    age: float = 0.0


class Replacement(Enum):
    """What became of a `replace` or a `refuse`."""

    STORED = auto()
    SAME = auto()
    """The very token is stored: our own acknowledgement was lost (rule 14)."""
    CONFLICT = auto()
    """Another token is stored."""
    SIBLING = auto()
    """Another successor of the same refresh token is stored; ours is beside it now.

    The asker's lease stays, to be given back once it is known which of the two lives.
    """
    ALTERNATE = auto()
    """Not marked: the refused token's alternate has taken its place (rule 14)."""
    GONE = auto()
    """The account was disconnected or authorized anew."""


@frozen
class Replaced:
    """The answer to `replace` and `refuse`: the outcome, the record, the clock."""

    outcome: Replacement
    record: TokenRecord | None
    now: float
