"""The value of an Authorization header that does not print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Self

from everbearer._redact import HIDDEN
from everbearer.errors import TemporarilyUnavailable
from everbearer.vocabulary import BEARER

if TYPE_CHECKING:
    from everbearer.tokens import AccountKey, TokenSource

__all__ = ["BearerValue", "good_token"]

_SHOWN: Final = repr(f"{BEARER} {HIDDEN}")


class BearerValue(str):
    """``Bearer <token>`` (RFC 6750 section 2.1) with a repr that hides the token.

    A provider may call the scheme otherwise; the repr does not tell.

    aiohttp keeps the sent headers in every response and in every
    `aiohttp.ClientResponseError`, whose repr prints them, and a multidict's repr is
    made of the reprs of its values.  On the wire, where ``str()`` counts, it is the
    header as it must be.

    Attributes:
        access_token: The very object that the token source gave.

        accepted: Whether the source was told that the API has taken it.
    """

    __slots__ = ("accepted", "access_token")
    access_token: str
    accepted: bool

    def __new__(cls, access_token: str, scheme: str = BEARER) -> Self:
        self = super().__new__(cls, f"{scheme} {access_token}")
        self.access_token = access_token
        self.accepted = False
        return self

    def __repr__(self) -> str:
        return _SHOWN

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        # A pickled exception drags its request's headers along.
        return (str, (f"{BEARER} {HIDDEN}",))


async def good_token(
    source: TokenSource, key: AccountKey, *, margin: float = 0.0
) -> str:
    """Wait for a token that is good now, and for *margin* seconds if that can be had.

    Raises:
        AuthorizationRequired: The user must act.

        TemporarilyUnavailable: Not now; the grant is intact.
    """
    token = await source.replacement_for(None, margin=margin)
    if token is None:
        raise TemporarilyUnavailable(
            *key, "no access token could be had", retry_after=1.0
        )
    return token
