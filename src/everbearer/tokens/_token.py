"""The pair of credentials with its expiry (RFC 6749 section 5.1)."""

from __future__ import annotations

from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn, Self

from attrs import evolve, field, frozen

from everbearer._redact import HIDDEN
from everbearer.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Token"]


def _utc(moment: datetime | None) -> datetime | None:
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise ConfigurationError(
            "a Token's instants are aware datetimes: pass datetime.now(UTC) + ..., "
            "not a naive datetime"
        )
    return moment.astimezone(UTC)


def _frozen_mapping(extra: Mapping[str, Any]) -> Mapping[str, Any]:
    return MappingProxyType(dict(extra))


@frozen(repr=False)
class Token:
    """An access token and the refresh token that replaces it.

    Attributes:
        access_token: The bearer token, or None where only a refresh token is known.

        refresh_token: What the refresh grant spends, or None.

        expires_at: When the access token ends (aware, UTC); None if unknown.

        refresh_expires_at: When the refresh token ends (aware, UTC); None if unknown.

        scope: As the provider wrote it, or None.

        extra: The provider's own members of the token response, kept as they came.

    Neither ``repr``, ``str``, ``format`` nor logging shows a secret, and pickling is a
    TypeError: tokens travel through a token store, sealed, and in no other way.
    """

    access_token: str | None = None
    refresh_token: str | None = None
    expires_at: datetime | None = field(default=None, converter=_utc)
    refresh_expires_at: datetime | None = field(default=None, converter=_utc)
    scope: str | None = None
    extra: Mapping[str, Any] = field(
        factory=dict, converter=_frozen_mapping, hash=False
    )

    def following(self, previous: Token) -> Self:
        """This answer as the successor of *previous*: what it leaves out stays.

        RFC 6749 section 6: a refresh token is replaced only if a new one is issued;
        section 5.1: an omitted scope is unchanged.
        """
        kept = self
        if self.refresh_token is None:
            kept = evolve(
                kept,
                refresh_token=previous.refresh_token,
                refresh_expires_at=self.refresh_expires_at
                or previous.refresh_expires_at,
            )
        return evolve(
            kept,
            scope=self.scope if self.scope is not None else previous.scope,
            extra={**previous.extra, **self.extra},
        )

    def __repr__(self) -> str:
        shown = ", ".join(
            f"{name}={value}"
            for name, value in (
                ("access_token", HIDDEN if self.access_token else None),
                ("refresh_token", HIDDEN if self.refresh_token else None),
                ("expires_at", self.expires_at and self.expires_at.isoformat()),
                (
                    "refresh_expires_at",
                    self.refresh_expires_at and self.refresh_expires_at.isoformat(),
                ),
                ("scope", repr(self.scope)),
                ("extra", f"<{len(self.extra)} members>"),
            )
        )
        return f"Token({shown})"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a Token is not pickled, it holds secrets: share a token store between "
            "processes instead"
        )
