"""The accounts of a run: connected at first, and again when their grant has ended."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from attrs import define, evolve, field
from tests.failures.chaos._families import described
from tests.failures.chaos._judge import Ended

from everbearer import Registration, StoreError, Token
from everbearer._clock import instant

if TYPE_CHECKING:
    from everbearer import Client
    from everbearer.sandbox import Sandbox

__all__ = ["Accounts", "registrations"]

_LOOK = 0.1
_ASKING = 1.5


def hosts(name: str, sandbox: Sandbox) -> dict[str, str]:
    """The token endpoint by a name, which each worker resolves to ports of its own."""
    token = sandbox.token_url.replace("127.0.0.1", "localhost")
    return {"name": name, "token": token, "api": sandbox.api_url}


def registrations(sandboxes: dict[str, Sandbox]) -> list[Registration]:
    """As every worker has them."""
    return [
        Registration(
            described(**hosts(name, sandbox)), "sandbox-client", "sandbox-secret"
        )
        for name, sandbox in sandboxes.items()
    ]


@define(eq=False)
class Accounts:
    """Which accounts there are, and when their grants had ended.

    Attributes:
        keys: (provider, account), in the order of the schedule's numbers.

        over: Every time that a grant had ended.
    """

    client: Client
    sandboxes: dict[str, Sandbox]
    keys: list[tuple[str, str]]
    over: list[Ended] = field(factory=list)
    _now_over: dict[str, Ended] = field(factory=dict)
    _looked: float = field(factory=time.monotonic)
    _connecting: set[str] = field(factory=set)

    async def connect(self, provider: str, account: str) -> None:
        """Give it a grant, as its user would."""
        sandbox = self.sandboxes[provider]
        pair = sandbox.issue(account)
        expires_at = instant(sandbox.clock() + pair.expires_in)
        token = Token(pair.access_token, pair.refresh_token, expires_at)
        try:
            await self.client.adopt(provider, account, token)
        except StoreError:
            # The store is in trouble: this grant is forgotten, another comes later.
            for grant in sandbox.grants.of(account):
                sandbox.grants.end(grant, "script")
            raise

    def revoke(self, provider: str, account: str) -> None:
        """Its user withdraws the grant."""
        self._ended(account)
        self.sandboxes[provider].script.revoke(account)

    async def look_after(self) -> None:
        """Notice ended grants; after a while their users connect again."""
        async with asyncio.TaskGroup() as connecting:
            while True:
                await asyncio.sleep(_LOOK)
                self.look()
                for provider, account in self.keys:
                    over = self._now_over.get(account)
                    if over is None or account in self._connecting:
                        continue
                    if self._looked > over.begin + _ASKING:
                        self._connecting.add(account)
                        again = self._connect_again(provider, account, over)
                        connecting.create_task(again)

    def look(self) -> None:
        """Notice the grants that have ended since the last look."""
        before, self._looked = self._looked, time.monotonic()
        for provider, account in self.keys:
            grant = self.sandboxes[provider].grants.of(account)[-1]
            if grant.ended_by is not None:
                self._ended(account, before)

    async def _connect_again(self, provider: str, account: str, over: Ended) -> None:
        try:
            with suppress(StoreError):
                await self.connect(provider, account)
                self.over.append(evolve(over, end=time.monotonic()))
                del self._now_over[account]
        finally:
            self._connecting.discard(account)

    def _ended(self, account: str, since: float | None = None) -> None:
        begin = time.monotonic() if since is None else since
        self._now_over.setdefault(account, Ended(account, begin))

    @property
    def ended(self) -> tuple[Ended, ...]:
        """All of them, those that are over now included."""
        return (*self.over, *self._now_over.values())

    @property
    def living(self) -> tuple[str, ...]:
        """Accounts with a grant."""
        return tuple(
            account for _, account in self.keys if account not in self._now_over
        )
