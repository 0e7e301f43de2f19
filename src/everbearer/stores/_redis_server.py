"""What a Redis server says of itself, and whether it keeps what it is given."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any, Final

from everbearer.errors import ConfigurationError
from everbearer.stores._files import NO_ACCOUNT

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["check_server"]

_log = logging.getLogger("everbearer.stores")

_HASH_TAG: Final = re.compile(r"[^{]*\{[^}]+\}")


def check_server(
    store: str, info: Mapping[str, Any], prefix: str, *, may_evict: bool
) -> None:
    """Look at what INFO says; CONFIG is forbidden at many services.

    Args:
        store: How the store is called in what is said.

        info: The server's answer.

        prefix: Of the store's keys.

        may_evict: Whether keys that have no end of their own may be dropped.

    Raises:
        ConfigurationError: The server may drop refresh tokens, or spreads them.
    """
    policy = info.get("maxmemory_policy")
    if policy is None:
        _log.warning(
            "%s: the server does not tell its eviction policy; it must not drop "
            "keys that have no end of their own",
            store,
            extra=NO_ACCOUNT,
        )
    elif policy.startswith("allkeys") and not may_evict:
        raise ConfigurationError(
            f"{store}: the server may drop refresh tokens when its memory is full "
            f"(maxmemory-policy {policy}): set noeviction or a volatile policy, or "
            "pass RedisStore(..., may_evict=True)"
        )
    if not info.get("aof_enabled"):
        _log.warning(
            "%s: the server keeps no append-only file: rotated tokens are lost "
            "when it restarts (appendonly yes)",
            store,
            extra=NO_ACCOUNT,
        )
    if info.get("cluster_enabled"):
        if not _HASH_TAG.match(prefix):
            raise ConfigurationError(
                f"{store}: the server is a node of a cluster, where only keys with one "
                "hash tag stay together: put a part of the prefix in braces, as in "
                "'{everbearer}:'"
            )
        _log.warning(
            "%s: the server is a node of a cluster: when its keys move to another "
            "node, the store needs that one's URL",
            store,
            extra=NO_ACCOUNT,
        )
