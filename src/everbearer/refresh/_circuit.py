"""The circuit of each registration: invalid_client is nobody's account's fault.

Fifty thousand accounts share a client secret.  When the provider refuses it, one
flight finds out and the rest must not ask as well.
"""

from __future__ import annotations

from typing import Final

from attrs import frozen

__all__ = ["Circuits"]

_LONGEST: Final = 300.0


@frozen
class _Broken:
    credential: str
    until: float
    pause: float
    why: str
    probed: bool = False


class Circuits:
    """Which registrations are not asked for, and until when on the elapsed clock.

    They are keyed by name and credential, so that a new secret is tried at once.
    """

    __slots__ = ("_broken", "_first_pause")

    def __init__(self, first_pause: float) -> None:
        self._first_pause = first_pause
        self._broken: dict[str, _Broken] = {}

    def why_open(self, name: str, credential: str, now: float) -> str | None:
        """Why not to ask for registration *name* now; None lets the caller ask.

        When a pause is over, one caller of all is let through, and the rest wait for
        another pause for what it finds.
        """
        broken = self._broken.get(name)
        if broken is None or broken.credential != credential:
            return None
        if now < broken.until:
            return broken.why
        self._broken[name] = _Broken(
            credential, now + broken.pause, broken.pause, broken.why, probed=True
        )
        return None

    def refused(self, name: str, credential: str, why: str, now: float) -> float:
        """The provider does not know the credential; return the pause in seconds.

        It doubles each time, whichever account asked, up to five minutes.  Requests
        that were out together count once.
        """
        broken = self._broken.get(name)
        pause = self._first_pause
        if broken is not None and broken.credential == credential:
            if now < broken.until and not broken.probed:
                return broken.until - now
            pause = min(broken.pause * 2, _LONGEST)
        self._broken[name] = _Broken(credential, now + pause, pause, why)
        return pause

    def is_broken(self, name: str, credential: str) -> bool:
        """Whether the provider refused this very credential last."""
        broken = self._broken.get(name)
        return broken is not None and broken.credential == credential

    def known(self, name: str) -> None:
        """The provider has looked at a grant of registration *name*."""
        self._broken.pop(name, None)
