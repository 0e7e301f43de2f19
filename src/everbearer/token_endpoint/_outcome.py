"""What a token request came to.  Every description is safe to print."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

from attrs import frozen

if TYPE_CHECKING:
    from everbearer.tokens import Token

__all__ = [
    "Ambiguous",
    "Granted",
    "Misconfigured",
    "NotSent",
    "Outcome",
    "OutcomeKind",
    "Refused",
    "Throttled",
    "TooEarly",
    "Unrecognised",
]


class OutcomeKind(StrEnum):
    """All that can come of a token request."""

    GRANTED = "granted"
    REFUSED = "refused"
    NOT_SENT = "not_sent"
    THROTTLED = "throttled"
    MISCONFIGURED = "misconfigured"
    TOO_EARLY = "too_early"
    AMBIGUOUS = "ambiguous"
    UNRECOGNISED = "unrecognised"


@frozen
class Granted:
    """A success, validated: 2xx, an access token, no error."""

    kind: ClassVar[OutcomeKind] = OutcomeKind.GRANTED
    token: Token
    description: str = ""


@frozen
class Refused:
    """This grant is over (RFC 6749 section 5.2, invalid_grant and its dialects)."""

    kind: ClassVar[OutcomeKind] = OutcomeKind.REFUSED
    code: str
    description: str
    status: int


@frozen
class NotSent:
    """No byte of the grant left this host."""

    kind: ClassVar[OutcomeKind] = OutcomeKind.NOT_SENT
    description: str


@frozen
class Throttled:
    """Not processed: come back in *retry_after* seconds, if the provider said so."""

    kind: ClassVar[OutcomeKind] = OutcomeKind.THROTTLED
    retry_after: float | None
    description: str
    status: int = 0


@frozen
class Misconfigured:
    """The client is not known or not allowed; no grant is at fault."""

    kind: ClassVar[OutcomeKind] = OutcomeKind.MISCONFIGURED
    code: str
    description: str
    status: int


@frozen
class TooEarly:
    """The access token is too young to be replaced."""

    kind: ClassVar[OutcomeKind] = OutcomeKind.TOO_EARLY
    retry_after: float | None
    description: str


@frozen
class Ambiguous:
    """Sent, and no readable answer: it may have been processed.

    Attributes:
        status: 0 where there was no answer at all.
    """

    kind: ClassVar[OutcomeKind] = OutcomeKind.AMBIGUOUS
    description: str
    status: int = 0


@frozen
class Unrecognised:
    """A refusal that says nothing that is known of this provider."""

    kind: ClassVar[OutcomeKind] = OutcomeKind.UNRECOGNISED
    status: int
    code: str
    description: str


Outcome = (
    Granted
    | Refused
    | NotSent
    | Throttled
    | Misconfigured
    | TooEarly
    | Ambiguous
    | Unrecognised
)
