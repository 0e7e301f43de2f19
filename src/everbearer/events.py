"""What happened, as frozen records for hooks.  Never a secret in one.

A hook is called in the event loop, synchronously, and may not block; an exception in
one is logged and swallowed, because no observer may break a refresh.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "AuthorizationOverridden",
    "Event",
    "FlightAbandoned",
    "Hook",
    "Hooks",
    "RefreshConflict",
    "RefreshFailed",
    "RefreshStarted",
    "RefreshSucceeded",
    "ResendRefused",
    "SaveFailed",
    "SavedLate",
    "SpillAdopted",
    "SpillFailed",
    "SpillUnreadable",
    "Spilled",
    "StandingChanged",
]

_log = logging.getLogger("everbearer.events")


@frozen
class Event:
    """Something happened to *account* at *provider*."""

    provider: str
    account: str


@frozen
class RefreshStarted(Event):
    """A refresh token is about to be spent.

    Attributes:
        attempt: ``spend``, ``replay`` (inside the provider's window) or
            ``last_resort`` (nothing left to lose).
    """

    attempt: str


@frozen
class RefreshSucceeded(Event):
    """A rotated token is stored, as *version*, *seconds* after the flight began."""

    version: int
    seconds: float


@frozen
class RefreshFailed(Event):
    """A flight ended without a token.

    Attributes:
        kind: ``refused``, ``not_sent``, ``throttled``, ``misconfigured``,
            ``too_early``, ``ambiguous`` or ``unrecognised``.

        retry_after: Seconds until the next attempt is allowed.
    """

    kind: str
    retry_after: float


@frozen
class RefreshConflict(Event):
    """Another process stored a token first.

    Attributes:
        resolution: What came of it: ``adopted`` (theirs is used), ``dropped`` (the
            account was disconnected or authorized anew), ``kept`` (ours is the
            record's alternate), ``replaced`` (the API took only ours: it is stored),
            ``promoted`` (theirs was refused: the alternate has its turn), ``restored``
            (the store had lost ours and has it again).
    """

    resolution: str


@frozen
class SaveFailed(Event):
    """LOUD: a rotated token could not be stored: this process, and its spill, have it.

    Attributes:
        attempts: How often it was tried so far.
    """

    attempts: int


@frozen
class SavedLate(Event):
    """A token that had been unsaved, or came after its deadline, is stored now."""

    version: int


@frozen
class Spilled(Event):
    """LOUD: the unsaved token is in a sealed file of this host, at *path*.

    It is taken from there by the next process that needs it; the file goes away when
    the store has the token, or a later one.
    """

    path: str


@frozen
class SpillFailed(Event):
    """LOUD: an unsaved token could not be spilled either: only this process has it.

    Attributes:
        why: No key to seal it with, or no folder that takes it, in words.
    """

    why: str


@frozen
class SpillAdopted(Event):
    """A token that another process could not store is stored now, as *version*."""

    version: int


@frozen
class SpillUnreadable(Event):
    """LOUD: the spill at *path* does not open; it is left in place.

    *provider* and *account* are what the file says, and empty where it does not.

    Attributes:
        why: Cut, changed, or sealed with a key that is not on the keyring, in words.
    """

    path: str
    why: str


@frozen
class StandingChanged(Event):
    """The account's standing is now *standing*, because of *reason*."""

    standing: str
    reason: str | None


@frozen
class FlightAbandoned(Event):
    """The Client was closed before a refresh ended; its intent stays in the store."""

    seconds: float


@frozen
class ResendRefused(Event):
    """The rejected call was not sent again; the caller has the original answer.

    Attributes:
        method: Of the request.

        why: ``body`` (cannot be sent twice), ``unsafe`` (may have been processed).
    """

    method: str
    why: str


@frozen
class AuthorizationOverridden(Event):
    """A session-wide default Authorization header gave way to the account's token."""


class Hook(Protocol):
    """Called with each event."""

    def __call__(self, event: Event, /) -> None:
        """Take note of *event*, quickly."""
        ...


class Hooks:
    """All hooks of a Client; calling it never raises."""

    __slots__ = ("_hooks",)

    def __init__(self, hooks: Iterable[Hook] = ()) -> None:
        self._hooks = tuple(hooks)

    def __call__(self, event: Event) -> None:
        """Tell every hook; one that fails is logged, and the others still hear."""
        for hook in self._hooks:
            try:
                hook(event)
            except Exception:  # noqa: BLE001 - somebody's observer, logged in full
                _log.exception(
                    "hook failed on %s",
                    type(event).__name__,
                    extra={"provider": event.provider, "account": event.account},
                )
