"""A worker pool on Redis: docket's queue and the tokens on one server.

It shows the same as pool_on_postgres.py: a worker that is killed loses no order and no
grant.

    pip install 'everbearer[cli,redis]' pydocket
    export TOKEN_STORE=redis://:password@host:6379/0
    export EVERBEARER_KEYS=...                    # what `everbearer key new` prints
    python examples/notebook.py acme              # connects an account
    python examples/pool_on_redis.py enqueue      # as often as you want to sync
    python examples/pool_on_redis.py work         # in each process, on each host
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from docket import Disposition, Docket, ExponentialRetry, Retry, Shared, Worker
from redis.asyncio import Redis

from everbearer import AuthorizationRequired, Client, TemporarilyUnavailable
from settings import REGISTRATION, STORE

PAGE = 50
ATTEMPTS = int(os.environ.get("ATTEMPTS", "10"))
CONCURRENCY = int(os.environ.get("CONCURRENCY", "10"))
STALLED_AFTER = timedelta(seconds=float(os.environ.get("STALLED_AFTER", "30")))


@asynccontextmanager
async def opened() -> AsyncIterator[Client]:
    """One Client for all jobs of a process."""
    async with Client(REGISTRATION, store=STORE) as client:
        yield client


@asynccontextmanager
async def database() -> AsyncIterator[Redis]:
    """Where the orders are kept."""
    async with Redis.from_url(STORE) as redis:
        yield redis


async def sync_orders(
    account: str,
    client: Client = Shared(opened),  # noqa: B008 - tells docket what a job needs
    orders: Redis = Shared(database),  # noqa: B008
    retry: Retry = ExponentialRetry(ATTEMPTS, timedelta(seconds=10)),  # noqa: B008
) -> None:
    billit = client.session("billit", account)
    count = 0
    while True:
        window = {"$top": PAGE, "$skip": count}
        try:
            async with billit.get(
                "/v1/orders", params=window, raise_for_status=True
            ) as response:
                page: list[dict[str, Any]] = (await response.json())["Items"]
        except AuthorizationRequired as required:  # no attempt will change that
            print(account, "needs its user:", required.reason)
            return
        except TemporarilyUnavailable as wait:
            retry.after(timedelta(seconds=wait.retry_after))
        # A job that was killed is run again from its start, and one whose worker was
        # out of reach for long is run twice at once: what was written is written
        # again, to the same fields.
        rows = {order["OrderNumber"]: json.dumps(order) for order in page}
        if rows:
            await orders.hset(f"synced:{account}", mapping=rows)
        count += len(page)
        if len(page) < PAGE:
            break
        print(account, count)
    print(account, "has", count, "orders")


def queue() -> Docket:
    # Nothing is kept of a job that has ended.  Else docket pickles the error of a job
    # that it gives up, and ends the worker where that fails, as with aiohttp's errors.
    return Docket("sync", STORE, execution_ttl=timedelta(0))


async def enqueue() -> None:
    async with Client(REGISTRATION, store=STORE) as client, queue() as docket:
        async for status in client.accounts("billit"):
            if status.standing != "connected":
                continue
            # The key lets one job for each account wait or run.
            job = await docket.add(sync_orders, key=status.account)(status.account)
            if job.disposition is Disposition.ALREADY_SCHEDULED:
                print(status.account, "is waiting or under way already")


async def work() -> None:
    """Until SIGTERM or SIGINT; jobs under way are finished first."""
    async with (
        queue() as docket,
        Worker(
            docket, concurrency=CONCURRENCY, redelivery_timeout=STALLED_AFTER
        ) as worker,
    ):
        docket.register(sync_orders)
        running = asyncio.create_task(worker.run_forever())
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, running.cancel)
        await running


if __name__ == "__main__":
    asyncio.run({"enqueue": enqueue, "work": work}[sys.argv[1]]())
