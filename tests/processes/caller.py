"""A process of callers: says in JSON what they saw.

Arguments: JSON of ``url``, ``store``, ``accounts``, ``tasks``, ``seconds``, ``pause``,
``loops`` (threads, each with an event loop and a Client of its own), and ``described``:
what the provider's description says otherwise than Billit's.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import aiohttp
from attrs import evolve

from everbearer import Client, EverbearerError, Registration
from everbearer.providers import BILLIT


async def call_for(client, account, until, pause, seen) -> None:
    """Call until the time is over, and count each outcome."""
    session = client.session("billit", account)
    while time.monotonic() < until:
        try:
            async with session.get("/v1/whoami") as response:
                company = (await response.json()).get("company")
                right = response.status == 200 and company == account
                seen["ok" if right else f"status {response.status}"] += 1
        except (EverbearerError, aiohttp.ClientError, TimeoutError) as error:
            seen[f"{type(error).__name__}: {error}"] += 1
        await asyncio.sleep(pause)


async def main(order) -> Counter[str]:
    """Run all the callers of one event loop."""
    provider = BILLIT.with_hosts(order["url"], order["url"], order["url"])
    provider = evolve(provider, **order["described"])
    registration = Registration(provider, "sandbox-client", "sandbox-secret")
    seen: Counter[str] = Counter()
    async with (
        Client(registration, store=order["store"]) as client,
        asyncio.TaskGroup() as group,
    ):
        until = time.monotonic() + order["seconds"]
        for number in range(order["tasks"]):
            account = order["accounts"][number % len(order["accounts"])]
            group.create_task(call_for(client, account, until, order["pause"], seen))
    return seen


def in_loops(order) -> Counter[str]:
    """Run all the callers of this process."""
    loops = order.get("loops", 1)
    with ThreadPoolExecutor(loops) as threads:
        runs = [threads.submit(asyncio.run, main(order)) for _ in range(loops)]
        return sum((run.result() for run in runs), Counter())


if __name__ == "__main__":
    json.dump(in_loops(json.loads(sys.argv[1])), sys.stdout)
