"""The jobs of pool_on_postgres.py, in a module of their own.

What enqueues them, such as a web service, imports it too.
"""

import json
import math
import os
from typing import Any

import asyncpg
from procrastinate import (
    App,
    BaseRetryStrategy,
    JobContext,
    PsycopgConnector,
    RetryDecision,
)
from procrastinate.jobs import Job

from everbearer import AuthorizationRequired, Client, TemporarilyUnavailable
from settings import STORE

PAGE = 50
ATTEMPTS = 5
STALLED_AFTER = float(os.environ.get("STALLED_AFTER", "30"))  # seconds without a sign

# A job that was killed is run again from its start: what it wrote is written again.
UPSERT = """
    INSERT INTO synced_orders VALUES ($1, $2, $3)
    ON CONFLICT (account, number) DO UPDATE SET body = excluded.body
"""

app = App(connector=PsycopgConnector(conninfo=STORE))


class Again(BaseRetryStrategy):
    """When Everbearer says so; after other errors a few times, and later each time."""

    def get_retry_decision(
        self, *, exception: BaseException, job: Job
    ) -> RetryDecision | None:
        if isinstance(exception, TemporarilyUnavailable):
            return RetryDecision(retry_in={"seconds": math.ceil(exception.retry_after)})
        if job.attempts < ATTEMPTS:
            return RetryDecision(retry_in={"seconds": 10 * 2**job.attempts})
        return None


@app.task(pass_context=True, retry=Again())
async def sync_orders(context: JobContext, account: str) -> None:
    client: Client = context.additional_context["client"]
    database: asyncpg.Pool = context.additional_context["database"]
    billit = client.session("billit", account)
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
        rows = [(account, order["OrderNumber"], json.dumps(order)) for order in orders]
        await database.executemany(UPSERT, rows)
        count += len(orders)
        if len(orders) < PAGE:
            break
        print(account, count)
    print(account, "has", count, "orders")


@app.periodic(cron="* * * * * */5")  # every five seconds, in one of the workers
@app.task(pass_context=True)
async def rescue(context: JobContext, timestamp: int) -> None:  # noqa: ARG001 - given
    """Give the jobs of workers that were killed to those that live."""
    jobs = context.app.job_manager
    for job in await jobs.get_stalled_jobs(seconds_since_heartbeat=STALLED_AFTER):
        await jobs.retry_job(job)
