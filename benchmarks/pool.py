"""Many callers, few connections, short tokens: tokens that age in the queue.

aiohttp sends the header that was set before the wait for a connection.  That may cost
a second sending, never a failed call; the sandbox's ledger says how often it did.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import aiohttp
from figures import Section
from rich.table import Table

from everbearer import Client, EverbearerError, Registration, Token
from everbearer.providers import BILLIT
from everbearer.sandbox import Sandbox
from everbearer.stores import MemoryStore

if TYPE_CHECKING:
    from everbearer import AccountSession

__all__ = ["measure"]

CONNECTIONS = 100
LIFETIME = 2.0
DELAY = 0.2
ACCOUNTS = 10

_ROWS = {
    "calls": "calls that were made",
    "seconds": "seconds",
    "failed": "calls that failed for the caller",
    "sent": "requests that the API received",
    "unauthorized": "of them 401: the token ended in the queue",
    "refreshes": "refreshes",
    "reuse": "spent refresh tokens presented again",
    "last_resort": "last resorts",
    "lost_grants": "lost grants",
}


async def _caller(session: AccountSession, calls: int, ends: Counter[str]) -> None:
    for _ in range(calls):
        try:
            async with session.get("/v1/whoami") as response:
                body = await response.read()
        except (aiohttp.ClientError, EverbearerError, TimeoutError) as error:
            ends[type(error).__name__] += 1
            continue
        company = session.key.account.encode()
        right = response.status == 200 and company in body
        ends["right" if right else f"status {response.status}"] += 1


async def measure(*, callers: int, calls: int) -> Section:
    """Let *callers* callers make *calls* calls each, all at once."""
    ends: Counter[str] = Counter()
    async with (
        Sandbox(access_lifetime=LIFETIME, api_delay=DELAY) as sandbox,
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS)
        ) as http,
    ):
        provider = BILLIT.with_hosts(sandbox.url, sandbox.url, sandbox.url)
        registration = Registration(
            provider,
            sandbox.settings.client_id,
            sandbox.settings.client_secret,
            "http://127.0.0.1:9/callback",
        )
        async with Client(registration, store=MemoryStore(), session=http) as client:
            sessions = []
            for number in range(ACCOUNTS):
                pair = sandbox.issue(f"company-{number}")
                expires_at = datetime.now(UTC) + timedelta(seconds=pair.expires_in)
                token = Token(pair.access_token, pair.refresh_token, expires_at)
                await client.adopt("billit", f"company-{number}", token)
                sessions.append(client.session("billit", f"company-{number}"))
            began = time.perf_counter()
            async with asyncio.TaskGroup() as group:
                for number in range(callers):
                    session = sessions[number % ACCOUNTS]
                    group.create_task(_caller(session, calls, ends))
            seconds = time.perf_counter() - began
        ledger = sandbox.ledger
        figures = {
            "calls": callers * calls,
            "seconds": seconds,
            "failed": callers * calls - ends["right"],
            "sent": ledger.calls,
            "unauthorized": ledger.unauthorized,
            "refreshes": ledger.refreshes,
            "reuse": ledger.reuse,
            "last_resort": ledger.last_resort,
            "lost_grants": ledger.lost_grants,
        }
    wrong = [f"{n} calls ended with {end}" for end, n in ends.items() if end != "right"]
    wrong += [
        f"{name} is {figures[name]}, not 0"
        for name in ("reuse", "lost_grants")
        if figures[name]
    ]
    table = Table(
        title=f"{callers:,} callers, {CONNECTIONS} connections, tokens of "
        f"{LIFETIME:g} s, answers of {DELAY * 1e3:.0f} ms"
    )
    table.add_column("what the sandbox's ledger says")
    table.add_column("", justify="right")
    for name, value in figures.items():
        table.add_row(
            _ROWS[name], f"{value:,.1f}" if name == "seconds" else f"{value:,}"
        )
    return Section("pool", table, figures, wrong=tuple(wrong))
