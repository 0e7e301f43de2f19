"""The keys that records are sealed with: one active, and older ones that still open."""

from __future__ import annotations

import base64
import binascii
import hashlib
import logging
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from attrs import field, frozen
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from everbearer.errors import ConfigurationError, StoreError
from everbearer.stores._files import NO_ACCOUNT, make_private, warn_if_shared

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

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
    new one in front, restart every process, and drop the old one when no record names
    it any more: a record is sealed anew whenever its token changes.

    Args:
        keys: The active key first, each 32 bytes in URL-safe base64 as `generate_key`
            makes it, or all of them in one text with commas between.

    Raises:
        ConfigurationError: There is no key, or one is malformed; it is named by its
            position, never shown.

    ``repr`` shows key ids only, and pickling is a TypeError.
    """

    __slots__ = ("_active", "_keys")

    def __init__(self, keys: Iterable[str]) -> None:
        texts = keys.split(",") if isinstance(keys, str) else list(keys)
        texts = [text.strip() for text in texts if text.strip()]
        if not texts:
            raise ConfigurationError(
                "a Keyring needs at least one key: make one with `everbearer key new`"
            )
        found = [_parsed(text, position) for position, text in enumerate(texts, 1)]
        self._active = found[0]
        self._keys = {key.id: key for key in found}

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
        return self._active

    def find(self, key_id: bytes) -> SealingKey | None:
        """The key called *key_id*, active or older."""
        return self._keys.get(key_id)

    def __repr__(self) -> str:
        older = ", ".join(str(key) for key in self._keys.values())
        return f"<Keyring active {self._active}, opens {older}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"a Keyring is not pickled, it holds secrets: give {KEYS_VARIABLE} or the "
            "key file to the other process instead"
        )


def _parsed(text: str, position: int) -> SealingKey:
    try:
        # b64decode drops characters it does not know unless told otherwise, and
        # would take a mistyped key for another one.
        padded = text + "=" * (-len(text) % 4)
        raw = base64.b64decode(padded, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != _KEY_BYTES:
        # `from None`: a traceback must not show the key that was meant.
        raise ConfigurationError(
            f"key {position} of the keyring is malformed: it must be {_KEY_BYTES} "
            "bytes in URL-safe base64, as `everbearer key new` prints it"
        ) from None
    digest = hashlib.blake2b(raw, digest_size=_ID_BYTES, person=b"everbearer-key")
    return SealingKey(digest.digest(), AESGCM(raw))
