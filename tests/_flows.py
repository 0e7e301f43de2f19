"""A sandbox, and Clients that talk to it: for tests of whole flows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from everbearer import Client, Registration, Timing, Token
from everbearer._clock import SystemClock, instant
from everbearer.providers import BILLIT
from everbearer.sandbox import Sandbox
from everbearer.stores import MemoryStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from everbearer.events import Event
    from everbearer.providers import Provider
    from everbearer.stores import TokenStore

CALLBACK = "http://127.0.0.1:9/callback"
# Short enough for tests, and still D + G > X.
TIMING = Timing(
    lease=0.6, deadline=1.0, linger=1.0, grace=0.3, connect=1.0, back_off=0.1
)


@pytest_asyncio.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """Billit on a loopback port."""
    async with Sandbox(orders_per_account=250) as running:
        yield running


@pytest.fixture
def provider(sandbox: Sandbox) -> Provider:
    """Billit's description, at the sandbox."""
    return BILLIT.with_hosts(sandbox.url, sandbox.url, sandbox.url)


@pytest.fixture
def registration(sandbox: Sandbox, provider: Provider) -> Registration:
    """What the sandbox knows us as."""
    return Registration(
        provider, sandbox.settings.client_id, sandbox.settings.client_secret, CALLBACK
    )


@pytest.fixture
def timing() -> Timing:
    """Deadlines that a test can wait for."""
    return TIMING


@pytest.fixture
def store() -> TokenStore:
    """A store of this test."""
    return MemoryStore()


@pytest.fixture
def events() -> list[Event]:
    """What the Client told its hooks."""
    return []


@pytest_asyncio.fixture
async def client(
    registration: Registration,
    store: TokenStore,
    timing: Timing,
    events: list[Event],
) -> AsyncIterator[Client]:
    """A Client on that store."""
    async with Client(
        registration, store=store, timing=timing, hooks=[events.append]
    ) as client:
        yield client


@pytest.fixture
def connect(sandbox: Sandbox, client: Client) -> Callable[..., object]:
    """Give an account a grant of the sandbox, without the login page."""

    async def connected(
        account: str = "acme", *, to: Client = client, expired: bool = False
    ) -> Token:
        pair = sandbox.issue(account, access_expired=expired)
        ends = -1.0 if expired else pair.expires_in
        token = Token(
            pair.access_token,
            pair.refresh_token,
            instant(sandbox.clock() + ends),
        )
        await to.adopt("billit", account, token)
        return token

    return connected


class ShiftedClock(SystemClock):
    """The system's clocks, moved ahead."""

    ahead = 0.0

    def wall(self) -> float:
        """Move with *ahead*."""
        return super().wall() + self.ahead

    def elapsed(self) -> float:
        """Move with *ahead*."""
        return super().elapsed() + self.ahead


@pytest.fixture
def shifted_clock() -> ShiftedClock:
    """A clock of this test, to move ahead by hand."""
    return ShiftedClock()
