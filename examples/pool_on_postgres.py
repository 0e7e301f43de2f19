"""A worker pool on PostgreSQL: procrastinate's queue and the tokens in one database.

It shows: one job per account, on any number of hosts.  A worker that is killed loses no
order, because the queue gives its jobs to another, and no grant, because the store says
which refresh token is whose turn.

    pip install 'everbearer[cli,postgres]' procrastinate 'psycopg[binary]'
    export TOKEN_STORE=postgresql://user:password@host/database
    export EVERBEARER_KEYS=...                      # what `everbearer key new` prints
    python examples/pool_on_postgres.py init        # once
    python examples/notebook.py acme                # connects an account
    python examples/pool_on_postgres.py enqueue     # as often as you want to sync
    python examples/pool_on_postgres.py work        # in each process, on each host
"""

import asyncio
import os
import sys

import asyncpg

from everbearer import Client
from pool_on_postgres_jobs import STALLED_AFTER, app, sync_orders
from settings import REGISTRATION, STORE

CONCURRENCY = int(os.environ.get("CONCURRENCY", "10"))
UNFINISHED = ("todo", "doing")

TABLE = """
    CREATE TABLE IF NOT EXISTS synced_orders (
        account text, number text, body jsonb NOT NULL, PRIMARY KEY (account, number)
    )
"""


async def init() -> None:
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
    connection = await asyncpg.connect(STORE)
    await connection.execute(TABLE)
    await connection.close()


async def enqueue() -> None:
    async with Client(REGISTRATION, store=STORE) as client, app.open_async():
        async for status in client.accounts("billit"):
            if status.standing != "connected":
                continue
            # No queueing_lock: a job that waits would keep one with the same from being
            # retried.  The lock lets one at a time run.
            earlier = await app.job_manager.list_jobs_async(lock=status.account)
            if any(job.status in UNFINISHED for job in earlier):
                print(status.account, "is waiting or under way already")
                continue
            job = sync_orders.configure(lock=status.account)
            await job.defer_async(account=status.account)


async def work() -> None:
    """Until SIGTERM or SIGINT; jobs under way are finished first."""
    async with (
        Client(REGISTRATION, store=STORE) as client,  # one for all jobs of the process
        asyncpg.create_pool(STORE, min_size=1) as database,
        app.open_async(),
    ):
        await app.run_worker_async(
            concurrency=CONCURRENCY,
            additional_context={"client": client, "database": database},
            update_heartbeat_interval=STALLED_AFTER / 3,
            stalled_worker_timeout=STALLED_AFTER,
            delete_jobs="successful",
        )


if __name__ == "__main__":
    asyncio.run({"init": init, "enqueue": enqueue, "work": work}[sys.argv[1]]())
