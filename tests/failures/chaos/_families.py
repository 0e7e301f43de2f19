"""The providers of a run: one real description, and one for each kind of rotation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from attrs import evolve, field, frozen

from everbearer.providers import BILLIT, AccountFacts, standard_provider
from everbearer.sandbox import Sandbox

if TYPE_CHECKING:
    from everbearer.providers import Provider

__all__ = ["FAMILIES", "FRAGILE", "USUAL", "described", "played"]


@frozen
class Family:
    """What the client is told, and what the sandbox does beyond that."""

    described: Mapping[str, Any] = field(factory=dict)
    played: Mapping[str, Any] = field(factory=dict)
    facts: AccountFacts | None = None


_FACTS: Final = AccountFacts("/v1/whoami", keep_as="whoami")

FAMILIES: Final = {
    "billit": Family(),  # The twin of its document; the others are played as described.
    "dying": Family({"old_access_dies": True}),
    # The pair that a replay gets is the old one, which may have died meanwhile.
    "window": Family({"replay_window": 600.0}, {"access_lifetime": 6.0}),
    # Of these two a paused worker that saves late and the one that took over may hold
    # different children of one refresh token: the API is asked which lives (rule 14).
    "sometimes": Family({"rotation": "sometimes"}, facts=_FACTS),
    "minting": Family({"replay_window": 600.0}, {"replay_answer": "new"}, facts=_FACTS),
}
USUAL: Final = ("billit", "dying", "window", "sometimes", "minting")
FRAGILE: Final = frozenset({"dying", "window", "minting"})
"""Where a lost answer can end the token that comes of the next one."""


def described(name: str, token: str, api: str) -> Provider:
    """What the client is told of *name*, with these base URLs."""
    if name == "billit":
        return BILLIT.with_hosts(token, token, api)
    provider = standard_provider(
        name,
        authorize_url=f"{token}/authorize",
        token_url=f"{token}/token",
        api_base=api,
        default_lifetime=3600.0,
        **FAMILIES[name].described,
    )
    return evolve(provider, account_facts=FAMILIES[name].facts)


def played(name: str, **settings: Any) -> Sandbox:
    """A sandbox that behaves like *name*."""
    settings |= FAMILIES[name].played
    if name == "billit":
        return Sandbox(**settings)
    nowhere = "http://127.0.0.1:9"
    return Sandbox(described(name, nowhere, nowhere), **settings)
