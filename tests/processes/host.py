"""A worker of a host of its own: calls until its standard input ends.

Argument: JSON of ``url``, ``proxy``, ``store``, ``accounts`` and ``timing``.  At the
end it calls once more for each account, waits when told to, and says how that ended.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import suppress

import aiohttp

from everbearer import Client, EverbearerError, Registration, Timing
from everbearer.providers import BILLIT


async def call(session) -> str:
    """Whom the answer was for."""
    async with session.get("/v1/whoami") as response:
        return (await response.json())["company"]


async def keep_calling(session, ended) -> None:
    """Call until told; a host that is cut off has failures, of every kind."""
    while not ended.is_set():
        with suppress(EverbearerError, aiohttp.ClientError, TimeoutError):
            await asyncio.wait_for(call(session), 2.0)
        await asyncio.sleep(0.05)


async def patiently(session) -> str:
    """What a call gets in the end."""
    while True:
        try:
            return await call(session)
        except (aiohttp.ClientError, TimeoutError) as error:
            if not hasattr(error, "retry_after"):
                return f"{type(error).__name__}: {error}"
            await asyncio.sleep(error.retry_after)


async def main(order) -> dict[str, str]:
    """Run until the input ends."""
    provider = BILLIT.with_hosts(order["url"], order["url"], order["url"])
    registration = Registration(provider, "sandbox-client", "sandbox-secret")
    timing, ended = Timing(**order["timing"]), asyncio.Event()
    async with (
        aiohttp.ClientSession(proxy=order["proxy"]) as line,
        Client(
            registration, store=order["store"], session=line, timing=timing
        ) as client,
    ):
        sessions = [client.session("billit", name) for name in order["accounts"]]
        calling = [asyncio.create_task(keep_calling(each, ended)) for each in sessions]
        await asyncio.to_thread(sys.stdin.read)
        ended.set()
        await asyncio.gather(*calling)
        said = await asyncio.gather(*(patiently(each) for each in sessions))
    return dict(zip(order["accounts"], said, strict=True))


if __name__ == "__main__":
    json.dump(asyncio.run(main(json.loads(sys.argv[1]))), sys.stdout)
