"""A process that refreshes one account and may be killed or stopped meanwhile.

Argument: JSON of ``url``, ``store``, ``account``, ``timing``, ``described`` (what the
provider's description says otherwise than Billit's) and ``stops``: whether it stops
itself, as SIGSTOP does, when it has the lease and before it opens a connection.  If it
lives to the end it says in JSON what became of a refresh and of a call after it.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import suppress

from attrs import evolve

from everbearer import (
    Client,
    EverbearerError,
    Registration,
    TemporarilyUnavailable,
    Timing,
)
from everbearer.events import RefreshStarted
from everbearer.providers import BILLIT


async def main(order) -> str:
    """Refresh, and call."""
    provider = BILLIT.with_hosts(order["url"], order["url"], order["url"])
    provider = evolve(provider, **order["described"])
    registration = Registration(provider, "sandbox-client", "sandbox-secret")

    def hook(event) -> None:
        if isinstance(event, RefreshStarted) and order["stops"]:
            order["stops"] = False
            os.kill(os.getpid(), signal.SIGSTOP)

    async with Client(
        registration,
        store=order["store"],
        timing=Timing(**order["timing"]),
        hooks=[hook],
    ) as client:
        return await use(client.session("billit", order["account"]))


async def use(session) -> str:
    """Refresh, and call; wait when told to."""
    with suppress(TemporarilyUnavailable):
        await session.refresh()
    while True:
        try:
            async with session.get("/v1/whoami") as response:
                return (await response.json()).get("company")
        except TemporarilyUnavailable as wait:
            await asyncio.sleep(wait.retry_after)
        except EverbearerError as error:
            return f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    json.dump(asyncio.run(main(json.loads(sys.argv[1]))), sys.stdout)
