"""A process of callers at django-oauth-toolkit: says in JSON what they saw.

Standard input: JSON of ``url``, ``client_id``, ``secret``, ``store``, ``users`` and
``seconds``.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter

import aiohttp

from everbearer import Client, EverbearerError, Registration
from everbearer.providers import standard_provider

CALLERS = 5


async def call_for(session, until, seen):
    """Call until the time is over, and count each outcome."""
    while time.monotonic() < until:
        try:
            async with session.get("/orders") as answer:
                seen[str(answer.status)] += 1
        except (EverbearerError, aiohttp.ClientError) as error:
            seen[f"{type(error).__name__}: {error}"] += 1
        await asyncio.sleep(0.05)


async def main(order):
    """Some callers for each user, in this process."""
    provider = standard_provider(
        "shop",
        authorize_url=f"{order['url']}/o/authorize/",
        token_url=f"{order['url']}/o/token/",
        api_base=f"{order['url']}/api",
        old_access_dies=True,
    )
    registration = Registration(provider, order["client_id"], order["secret"])
    seen, until = Counter(), time.monotonic() + order["seconds"]
    async with Client(registration, store=order["store"]) as client:
        sessions = [client.session("shop", user) for user in order["users"]] * CALLERS
        await asyncio.gather(*(call_for(each, until, seen) for each in sessions))
    json.dump(seen, sys.stdout)


if __name__ == "__main__":
    asyncio.run(main(json.load(sys.stdin)))
