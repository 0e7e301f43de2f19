"""Files for their owner's eyes only, made whole or not at all."""

from __future__ import annotations

import errno
import logging
import os
import secrets
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["NO_ACCOUNT", "make_private", "warn_if_shared", "write_private"]

_log = logging.getLogger("everbearer.stores")

NO_ACCOUNT: Final = {"provider": "", "account": ""}
"""Fields of a log record about no account: a format that shows them works for all."""

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def make_private(place: Path, content: bytes = b"") -> bool:
    """Make the file *place* with mode 0600, unless there is one; say whether it did.

    It is written under a name of its own and then linked, which fails if somebody else
    was first: nobody reads it half written, and no descriptor of *place* is ever
    closed here, which would drop the locks that SQLite holds on it in this process
    (sqlite.org/howtocorrupt.html section 2.2).

    Raises:
        OSError: The folder is missing or cannot be written, or knows no hard links.
    """
    draft = place.with_name(f"{place.name}.{secrets.token_hex(8)}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            # A grant must not be sealed with a key that a power cut takes away.
            os.fsync(file.fileno())
        os.link(draft, place)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    _sync_folder(place.parent)
    return True


def write_private(place: Path, content: bytes) -> None:
    """Write the file *place* with mode 0600, over what is there, whole or not at all.

    When it returns, a power cut does not take it away.

    Raises:
        OSError: The folder is missing, full or cannot be written.
    """
    draft = place.with_name(f"{place.name}.{secrets.token_hex(8)}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(place)
    except BaseException:  # Whatever it is: no draft is left behind.
        with suppress(OSError):
            draft.unlink()
        raise
    _sync_folder(place.parent)


def warn_if_shared(place: Path) -> None:
    """Log a warning if others than its owner may read or write *place*.

    It is not changed: the mode may be somebody's decision.
    """
    if os.name == "posix" and place.stat().st_mode & _OTHERS:
        _log.warning(
            "others than its owner have access to %s: chmod 600 it",
            place,
            extra=NO_ACCOUNT,
        )


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":  # pragma: no cover - folders are not opened elsewhere
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:  # pragma: no cover - depends on the file system
        # Some cannot: then the file is as safe as they make it.
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:
            raise
    finally:
        os.close(descriptor)
