"""The state of a started authorization: made, found again once, given back."""

from __future__ import annotations

import secrets
from hmac import compare_digest
from typing import TYPE_CHECKING, Final

from attrs import evolve

from everbearer._redact import fingerprint
from everbearer.errors import CallbackError

if TYPE_CHECKING:
    from everbearer.stores import TokenStore
    from everbearer.tokens import PendingAuthorization

__all__ = ["give_back", "new_state", "same", "take"]

# How often one callback may come again because its code could not be sent.
_MOST_TRIES: Final = 20


def new_state(forbidden: str) -> str:
    """Random, URL-safe, without the characters that the provider cuts off."""
    while True:
        state = secrets.token_urlsafe(32)
        if not set(state) & set(forbidden):
            return state


def same(one: str, other: str) -> bool:
    """Compare without telling by the time it takes how much of it was right."""
    return compare_digest(
        one.encode(errors="surrogatepass"), other.encode(errors="surrogatepass")
    )


async def take(store: TokenStore, state: str) -> PendingAuthorization:
    """The authorization that was started with *state*, which is used up by that.

    Raises:
        CallbackError: ``unknown``, ``reused`` or ``expired``.
    """
    name = fingerprint(state)
    for tried in range(_MOST_TRIES):
        taken = await store.take_pending(name)
        if taken.pending is not None:
            if taken.pending.expires_at <= taken.now:
                raise CallbackError("expired", "start the authorization again")
            return taken.pending
        if not taken.used and tried == 0:
            raise CallbackError(
                "unknown",
                "no authorization was started with it in this token store; start one",
            )
        if not taken.used:
            break
        name = fingerprint(name)
    raise CallbackError("reused", "this callback was used before; start again")


async def give_back(store: TokenStore, pending: PendingAuthorization) -> None:
    """The code is unspent: the same callback may come once more.

    Under a name of its own, because a store never revives what was used: a write of
    `start` that is tried again must not.
    """
    again = fingerprint(pending.state_fingerprint)
    await store.put_pending(evolve(pending, state_fingerprint=again))
