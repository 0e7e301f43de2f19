"""Rotations that a store did not take, sealed in files of this host.

Between the provider's answer and the save, a rotated token exists in one process and
nowhere else.  When the save fails it is written here at once, so that a process that
ends now takes nothing with it (the refresh protocol, rule 17).

A file is one line of JSON that says whose it is, and the sealed rotation.  It is named
after the account and the token, so that the same pair spilled twice is one file, and
what is about one account is found without opening the rest.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import stat
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, ParamSpec, Protocol, TypeVar

from attrs import frozen

from everbearer._redact import fingerprint
from everbearer.errors import ConfigurationError, EverbearerError, StoreError
from everbearer.stores._files import write_private
from everbearer.stores._seal import SPILL, open_sealed, seal
from everbearer.stores._serialize import dump_rotation, parse_rotation
from everbearer.stores.keyring import KEYS_VARIABLE
from everbearer.tokens import AccountKey, account_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from everbearer.stores._writes import Rotation
    from everbearer.stores.keyring import Keyring

__all__ = ["Spill", "Spills", "UnreadableSpill"]

_FORMAT: Final = 1
_SUFFIX: Final = ".spill"
# Tokens of 64 kB and whatever a provider sends beside them; more is no spill.
_MOST_BYTES: Final = 4 << 20

_P = ParamSpec("_P")
_T = TypeVar("_T")


class _Elsewhere(Protocol):
    """Calls a function where it may block."""

    async def __call__(
        self, work: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> _T: ...


@frozen
class Spill:
    """A rotation that was spilled.

    Attributes:
        key: Of which account.

        rotation: What the store did not take; of no flight any more.

        when: Seconds since the epoch, by the clock of whoever spilled it.

        place: The file.
    """

    key: AccountKey
    rotation: Rotation
    when: float
    place: Path


@frozen
class UnreadableSpill:
    """A file that does not open: cut, changed, or sealed with a key not at hand.

    Attributes:
        key: Whose it says it is, or two empty texts.

        place: The file, left as it is.

        why: For people; without secrets.
    """

    key: AccountKey
    place: Path
    why: str


class Spills:
    """The spills of one store on this host.

    Args:
        folders: Where to write, the first that takes it; all of them are looked into.

        keyring: Seals and opens.  Without one nothing is ever written.

        elsewhere: Where files are read and written: a thread, never the event loop.
    """

    def __init__(
        self,
        folders: tuple[Path, ...],
        keyring: Keyring | None,
        elsewhere: _Elsewhere = asyncio.to_thread,
    ) -> None:
        self.folders = folders
        self.keyring = keyring
        self._elsewhere = elsewhere
        self._settled: set[Path] = set()

    async def write(self, key: AccountKey, rotation: Rotation, when: float) -> Path:
        """Seal *rotation* into a file, 0600 and safe from a power cut; return which.

        Raises:
            ConfigurationError: There is no key to seal it with.

            StoreError: No folder takes it; each is named with its trouble.
        """
        if self.keyring is None:
            raise ConfigurationError(
                "there is no key to seal a spill with, and it is not written in plain "
                f"text: put one in {KEYS_VARIABLE}, or pass keyring= to the Client"
            )
        whose = {"everbearer": _FORMAT, **key._asdict()}
        plain = dump_rotation(rotation, when)
        content = (
            json.dumps(whose).encode() + b"\n" + seal(self.keyring, plain, SPILL, key)
        )
        return await self._elsewhere(self._write, _name(key, rotation), content)

    async def find(
        self, key: AccountKey | None = None
    ) -> tuple[Spill | UnreadableSpill, ...]:
        """What is spilled, of account *key* or of all, the oldest first.

        Folders that are missing or cannot be read are as good as empty.
        """
        return await self._elsewhere(self._find, key)

    async def drop(self, place: Path) -> None:
        """The store has what is in *place*, or better: remove it.  Twice is fine.

        A file that cannot be removed is not found again by this process.
        """
        self._settled.add(place)
        await self._elsewhere(_remove, place)

    # ---- in a thread

    def _write(self, name: str, content: bytes) -> Path:
        troubles = []
        for folder in self.folders:
            try:
                _make(folder)
                write_private(folder / name, content)
            except OSError as error:
                troubles.append(f"{folder}: {error.strerror or type(error).__name__}")
            else:
                return folder / name
        raise StoreError(f"nowhere to spill to: {'; '.join(troubles)}")

    def _find(self, key: AccountKey | None) -> tuple[Spill | UnreadableSpill, ...]:
        found = [
            self._read(place)
            for folder in self.folders
            for place in _places(folder, "" if key is None else f"{_digest(key)}-")
            if place not in self._settled
        ]
        spills = [each for each in found if isinstance(each, Spill)]
        others = [each for each in found if isinstance(each, UnreadableSpill)]
        return (*sorted(spills, key=attrgetter("when")), *others)

    def _read(self, place: Path) -> Spill | UnreadableSpill | None:
        key = AccountKey("", "")
        try:
            header, _, sealed = _content(place).partition(b"\n")
            key = _whose(header)
            if self.keyring is None:
                raise ConfigurationError("there is no key to open it with")
            plain = open_sealed(self.keyring, sealed, SPILL, key)
            rotation, when = parse_rotation(key, plain)
        except FileNotFoundError:
            return None  # Somebody else has settled it.
        except OSError as error:
            return UnreadableSpill(key, place, error.strerror or type(error).__name__)
        except EverbearerError as error:
            return UnreadableSpill(key, place, str(error))
        return Spill(key, rotation, when, place)


def _digest(key: AccountKey) -> str:
    text = json.dumps(list(key)).encode()
    return hashlib.blake2b(text, digest_size=16, person=b"everbearer-spill").hexdigest()


def _name(key: AccountKey, rotation: Rotation) -> str:
    pair = f"{rotation.token.access_token}\n{rotation.token.refresh_token}"
    return f"{_digest(key)}-{fingerprint(pair)}{_SUFFIX}"


def _make(folder: Path) -> None:
    """Make *folder* for its owner only.

    Raises:
        OSError: It cannot be made; or it is somebody else's, who could take out what
            is put in.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.name == "posix" and folder.stat().st_uid not in {os.geteuid(), 0}:
        raise PermissionError(1, "it belongs to another user")


def _places(folder: Path, prefix: str) -> Iterator[Path]:
    try:
        found = sorted(folder.iterdir())
    except OSError:
        return
    for place in found:
        if place.name.startswith(prefix) and place.suffix == _SUFFIX:
            yield place


def _content(place: Path) -> bytes:
    """What is in *place*, if that is a file at all: nobody waits for a pipe here."""
    flags = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(place, os.O_RDONLY | flags)
    with os.fdopen(descriptor, "rb") as file:
        told = os.fstat(descriptor)
        if not stat.S_ISREG(told.st_mode) or told.st_size > _MOST_BYTES:
            raise OSError(0, "it is not a file, or far too long")
        return file.read(_MOST_BYTES)


def _whose(header: bytes) -> AccountKey:
    """Whose spill it says it is; sealing binds it to that account."""
    try:
        said: Any = json.loads(header)
        if said["everbearer"] == _FORMAT:
            return account_key(str(said["provider"]), said["account"])
    except (ValueError, TypeError, KeyError, RecursionError, ConfigurationError):
        pass
    raise StoreError(
        "it is no spill, or cut off, or in a form that only a newer release knows"
    )


def _remove(place: Path) -> None:
    try:
        place.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(
            f"the spill {place} is settled and cannot be removed: {error.strerror}"
        ) from error
