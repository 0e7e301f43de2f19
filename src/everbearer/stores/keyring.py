"""The keys that records are sealed with: one active, and older ones that still open."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import inspect
import logging
import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from attrs import field, frozen
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from everbearer.errors import ConfigurationError, StoreError
from everbearer.stores._files import NO_ACCOUNT, make_private, warn_if_shared

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["KEYS_VARIABLE", "Keyring", "SealingKey"]

_log = logging.getLogger("everbearer.stores")

KEYS_VARIABLE: Final = "EVERBEARER_KEYS"

_KEY_BYTES: Final = 32
_ID_BYTES: Final = 8


@frozen
class SealingKey:
    """One AES-256 key and the *id* that records name it by."""

    id: bytes
    cipher: AESGCM = field(repr=False)

    def __str__(self) -> str:
        return self.id.hex()


class Keyring:
    """The keys that seal what a store keeps.

    New records are sealed with the first key; every key opens.  To change keys, put a
    new one behind the active one in every process, then in front of it in every
    process, then call ``everbearer store reseal``, and drop the old one.

    Args:
        keys: The active key first, each 32 bytes in URL-safe base64 as `generate_key`
            makes it, or all of them in one text with commas between.  Or a function
            that returns them, as from a key management service: it is called in a
            thread, once, when a store is opened.

    Raises:
        ConfigurationError: There is no key, or one is malformed; it is named by its
            position, never shown.

    ``repr`` shows key ids only, and pickling is a TypeError.
    """

    __slots__ = ("_ask", "_keys")

    def __init__(self, keys: Iterable[str] | Callable[[], Iterable[str]]) -> None:
        self._ask = keys if callable(keys) else None
        self._keys = () if callable(keys) else _parsed_all(keys)

    async def load(self) -> None:
        """Call the function that the keys come from; stores do it when they open.

        Twice is fine: it is called once, or again if it raised.

        Raises:
            ConfigurationError: What it returns are no keys, or it is a coroutine
                function.

            StoreError: It raised.
        """
        if self._ask is not None and not self._keys:
            self._keys = _parsed_all(await asyncio.to_thread(_asked, self._ask))

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Keyring:
        """The keyring in ``EVERBEARER_KEYS``: a comma list, the active key first.

        Raises:
            ConfigurationError: It is not set, or a key in it is malformed.
        """
        text = environ.get(KEYS_VARIABLE, "")
        if not text.strip(" ,"):
            raise ConfigurationError(
                f"{KEYS_VARIABLE} is not set: put a key there that "
                "`everbearer key new` prints, the same one for every process"
            )
        return cls(text)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], *, create: bool = True) -> Keyring:
        """The keyring in the file *path*, in the form of ``EVERBEARER_KEYS``.

        With *create* a missing file is made, readable by its owner only, with one new
        key.  Of two processes that start at once one makes it, and both use that key.

        Raises:
            ConfigurationError: The file is missing, or holds a malformed key.

            StoreError: The file cannot be read or made.
        """
        place = Path(path)
        try:
            if create and not place.exists():
                made = make_private(place, f"{cls.generate_key()}\n".encode())
                if made:
                    _log.info(
                        "made the key file %s: back it up, apart",
                        place,
                        extra=NO_ACCOUNT,
                    )
            warn_if_shared(place)
            # A UnicodeDecodeError would hold the whole file: what is no text is, to the
            # parser, a malformed key.
            return cls(place.read_bytes().decode("utf-8", "replace"))
        except FileNotFoundError as error:
            raise ConfigurationError(
                f"there is no key file {place}: put the store's key back there, or in "
                f"{KEYS_VARIABLE}; without it the stored grants cannot be opened"
            ) from error
        except OSError as error:
            raise StoreError(
                f"the key file {place} cannot be used ({type(error).__name__}: "
                f"{error.strerror}): check its place, its owner and its mode"
            ) from error

    @staticmethod
    def generate_key() -> str:
        """A new random key, for ``EVERBEARER_KEYS``."""
        return base64.urlsafe_b64encode(secrets.token_bytes(_KEY_BYTES)).decode()

    @property
    def active(self) -> SealingKey:
        """The key that new records are sealed with."""
        return self._loaded()[0]

    def find(self, key_id: bytes) -> SealingKey | None:
        """The key called *key_id*, active or older."""
        return next((key for key in self._loaded() if key.id == key_id), None)

    def _loaded(self) -> tuple[SealingKey, ...]:
        if not self._keys:
            raise ConfigurationError(
                "the keys of this Keyring were not asked for yet: a store does that "
                "when it is opened, or await its load()"
            )
        return self._keys

    def __repr__(self) -> str:
        if not self._keys:
            return "<Keyring, not asked for yet>"
        older = ", ".join(dict.fromkeys(str(key) for key in self._keys))
        return f"<Keyring active {self.active}, opens {older}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"a Keyring is not pickled, it holds secrets: give {KEYS_VARIABLE} or the "
            "key file to the other process instead"
        )


def _asked(ask: Callable[[], Iterable[str]]) -> Iterable[str]:
    try:
        keys = ask()
    except Exception as error:
        raise StoreError(
            f"the function that the keys come from raised {type(error).__name__}: look "
            "whether the key management service answers"
        ) from error
    if inspect.iscoroutine(keys):
        keys.close()  # Nobody will await it, and Python would say so.
        raise ConfigurationError(
            "the function that the keys come from is a coroutine function: give a "
            "plain one, which may block, or await the keys and pass them"
        )
    return keys


def _parsed_all(keys: Iterable[str]) -> tuple[SealingKey, ...]:
    given = keys.split(",") if isinstance(keys, str) else keys
    if isinstance(given, bytes) or not isinstance(given, Iterable):
        raise ConfigurationError("the keys of a Keyring are a list of texts")
    texts = [text for text in given if not isinstance(text, str) or text.strip()]
    if not texts:
        raise ConfigurationError(
            "a Keyring needs at least one key: make one with `everbearer key new`"
        )
    return tuple(_parsed(text, number) for number, text in enumerate(texts, 1))


def _parsed(text: str, position: int) -> SealingKey:
    try:
        text = text.strip()
        # b64decode drops characters it does not know unless told otherwise, and
        # would take a mistyped key for another one.
        padded = text + "=" * (-len(text) % 4)
        raw = base64.b64decode(padded, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError, TypeError, AttributeError):
        raw = b""
    if len(raw) != _KEY_BYTES:
        # `from None`: a traceback must not show the key that was meant.
        raise ConfigurationError(
            f"key {position} of the keyring is malformed: it must be {_KEY_BYTES} "
            "bytes in URL-safe base64, as `everbearer key new` prints it"
        ) from None
    digest = hashlib.blake2b(raw, digest_size=_ID_BYTES, person=b"everbearer-key")
    return SealingKey(digest.digest(), AESGCM(raw))
