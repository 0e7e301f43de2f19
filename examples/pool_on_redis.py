"""A worker pool on Redis: SAQ's queue and the tokens on one server.

It shows the same as pool_on_postgres.py: a worker that is killed loses no order and no
grant.

    pip install 'everbearer[cli,redis]' 'saq[redis]'
    export TOKEN_STORE=redis://host:6379/0
    export EVERBEARER_KEYS=...                    # what `everbearer key new` prints
    python examples/notebook.py acme              # connects an account
    python examples/pool_on_redis.py enqueue      # as often as you want to sync
    python examples/pool_on_redis.py work         # in each process, on each host
"""

import asyncio
import json
import math
import os
import sys
from typing import Any

from redis.asyncio import Redis
from saq import Job, Queue, Worker
from saq.types import Context

from everbearer import AuthorizationRequired, Client, TemporarilyUnavailable
from settings import REGISTRATION, STORE

PAGE = 50
CONCURRENCY = int(os.environ.get("CONCURRENCY", "10"))
STALLED_AFTER = int(os.environ.get("STALLED_AFTER", "30"))  # seconds without a sign


class Shared(Context, total=False):
    """What the jobs of one process share."""

    client: Client
    database: Redis


async def sync_orders(shared: Shared, *, account: str) -> None:
    job: Job = shared["job"]
    billit = shared["client"].session("billit", account)
    count = 0
    while True:
        window = {"$top": PAGE, "$skip": count}
        try:
            async with billit.get(
                "/v1/orders", params=window, raise_for_status=True
            ) as response:
                orders: list[dict[str, Any]] = (await response.json())["Items"]
        except AuthorizationRequired as required:  # no attempt will change that
            print(account, "needs its user:", required.reason)
            return
        except TemporarilyUnavailable as wait:
            job.retry_delay = math.ceil(wait.retry_after)
            raise
        # A job that was killed is run again from its start: what it wrote is written
        # again, to the same fields.
        rows = {order["OrderNumber"]: json.dumps(order) for order in orders}
        if rows:
            await shared["database"].hset(f"synced:{account}", mapping=rows)
        await job.update()  # the sign of life
        count += len(orders)
        if len(orders) < PAGE:
            break
        print(account, count)
    print(account, "has", count, "orders")


async def enqueue() -> None:
    queue = Queue.from_url(STORE)
    async with Client(REGISTRATION, store=STORE) as client:
        async for status in client.accounts("billit"):
            if status.standing != "connected":
                continue
            job = await queue.enqueue(
                "sync_orders",
                account=status.account,
                key=status.account,  # one job for each account at a time
                timeout=0,  # it may take as long as it shows signs of life
                heartbeat=STALLED_AFTER,
                retries=5,
                retry_delay=1.0,
                retry_backoff=True,
            )
            if job is None:
                print(status.account, "is waiting or under way already")
    await queue.disconnect()


async def work() -> None:
    """Until SIGTERM or SIGINT; then jobs under way go back to the queue."""
    queue = Queue.from_url(STORE)
    async with (
        Client(REGISTRATION, store=STORE) as client,  # one for all jobs of the process
        Redis.from_url(STORE) as database,
    ):

        async def share(shared: Shared) -> None:
            shared["client"], shared["database"] = client, database

        worker = Worker[Shared](
            queue,
            [sync_orders],
            concurrency=CONCURRENCY,
            startup=share,
            timers={  # seconds; all but the last as they would be
                "schedule": 1,
                "worker_info": 10,
                "abort": 1,
                "sweep": max(1, STALLED_AFTER // 3),  # looks for killed workers
            },
        )
        await worker.start()
    await queue.disconnect()


if __name__ == "__main__":
    asyncio.run({"enqueue": enqueue, "work": work}[sys.argv[1]]())
