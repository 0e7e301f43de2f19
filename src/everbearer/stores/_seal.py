"""Records sealed at rest, each bound to the account that it belongs to.

A sealed record is one byte of format, eight of key id, twelve of nonce, and the
ciphertext with its tag: AES-256-GCM, NIST SP 800-38D.  The associated data are that
header, the record's kind and whose it is, so that a row copied to another account, or
a pending authorization passed off as a grant, does not open.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag

from everbearer.errors import ConfigurationError, StoreError

if TYPE_CHECKING:
    from everbearer.stores.keyring import Keyring
    from everbearer.tokens import AccountKey

__all__ = ["PENDING", "SPILL", "TOKEN", "open_sealed", "seal"]

TOKEN: Final = "token"
PENDING: Final = "pending authorization"
SPILL: Final = "spilled rotation"

_FORMAT: Final = b"\x01"
_HEADER: Final = 1 + 8
# Random nonces of 96 bits are good for 2**32 records under one key (SP 800-38D 8.3).
_NONCE: Final = 12


def seal(keyring: Keyring, plain: bytes, kind: str, key: AccountKey) -> bytes:
    """Seal *plain* with the active key, as the *kind* of record of account *key*."""
    active = keyring.active
    header = _FORMAT + active.id
    nonce = os.urandom(_NONCE)
    bound = _associated_data(header, kind, key)
    return header + nonce + active.cipher.encrypt(nonce, plain, bound)


def open_sealed(keyring: Keyring, sealed: bytes, kind: str, key: AccountKey) -> bytes:
    """Open what `seal` made for the same *kind* and *key*.

    Raises:
        ConfigurationError: It names a key that is not on the keyring.

        StoreError: It was damaged or moved; the account and the key id are named.
    """
    whose = f"the {kind} record of account {key.account!r} at {key.provider!r}"
    header, rest = sealed[:_HEADER], sealed[_HEADER:]
    if header[:1] != _FORMAT or len(rest) < _NONCE:
        raise StoreError(
            f"{whose} is damaged, or in a form that only a newer release knows: "
            f"upgrade, or restore it from a backup; nothing was overwritten"
        )
    sealing_key = keyring.find(header[1:])
    if sealing_key is None:
        raise ConfigurationError(
            f"{whose} is sealed with key {header[1:].hex()}, which is not on the "
            f"keyring ({keyring!r}): add that key; nothing was overwritten"
        )
    bound = _associated_data(header, kind, key)
    try:
        return sealing_key.cipher.decrypt(rest[:_NONCE], rest[_NONCE:], bound)
    except InvalidTag as error:
        raise StoreError(
            f"{whose} does not open with key {sealing_key}: it was damaged, or moved "
            "there from another account; restore it from a backup, or delete the row "
            "and connect the account again; nothing was overwritten"
        ) from error


def _associated_data(header: bytes, kind: str, key: AccountKey) -> bytes:
    # JSON keeps ("a", "b:c") and ("a:b", "c") apart, as joining them would not.
    return header + json.dumps([kind, key.provider, key.account]).encode()
