"""A sandbox that plays the description of a test, and a registration with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from everbearer.sandbox import Sandbox
from everbearer.testing import registration_at

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from everbearer import Registration
    from everbearer._clock import SystemClock
    from everbearer.providers import Provider

YEAR = 365 * 86400.0


@pytest_asyncio.fixture(name="sandbox")
async def _sandbox(
    described: Provider, shifted_clock: SystemClock
) -> AsyncIterator[Sandbox]:
    """Plays *described*; where its answers tell a refresh token's end, there is one."""
    fields = {"refresh_lifetime": YEAR} if described.answer.refresh_spans else {}
    async with Sandbox(
        described,
        clock=shifted_clock.wall,
        client_id="described-client",
        client_secret="described client:secret",
        **fields,
    ) as sandbox:
        yield sandbox


@pytest.fixture(name="registration")
def _registration(described: Provider, sandbox: Sandbox) -> Registration:
    return registration_at(sandbox, described)


@pytest.fixture(name="played")
def _played(registration: Registration) -> Provider:
    """The description, at the sandbox."""
    return registration.provider
