"""A worker pool: every job is a coroutine of its own, run to its end by asyncio.run.

It shows: what queues such as Celery, RQ or ProcessPoolExecutor do to an asyncio
library.  Each job opens a Client and closes it; the processes share nothing but the
token store, and yet a token that they all find expired is refreshed once.

    pip install 'everbearer[cli]'
    everbearer sandbox                     # in another terminal
    python examples/notebook.py acme       # connects an account; as many as you like
    python examples/worker_pool.py

For the real Billit set the variables that settings.py names, for both programs.
"""

import asyncio
from concurrent.futures import Future, ProcessPoolExecutor, as_completed

from everbearer import AuthorizationRequired, Client, TemporarilyUnavailable
from settings import REGISTRATION, STORE

PROCESSES = 4
PAGE = 50
PAGES = 5


async def connected_accounts() -> list[str]:
    async with Client(REGISTRATION, store=STORE) as client:
        return [
            status.account
            async for status in client.accounts("billit")
            if status.standing == "connected"
        ]


async def fetch_page(account: str, page: int) -> list[str]:
    """The numbers of the orders on one page of an account."""
    async with Client(REGISTRATION, store=STORE) as client:
        billit = client.session("billit", account)
        window = {"$top": PAGE, "$skip": page * PAGE}
        async with billit.get(
            "/v1/orders", params=window, raise_for_status=True
        ) as response:
            orders = (await response.json())["Items"]
    return [order["OrderNumber"] for order in orders]


def job(account: str, page: int) -> list[str]:
    return asyncio.run(fetch_page(account, page))


def main() -> None:
    with ProcessPoolExecutor(PROCESSES) as pool:
        jobs: dict[Future[list[str]], str] = {
            pool.submit(job, account, page): account
            for account in asyncio.run(connected_accounts())
            for page in range(PAGES)
        }
        found = dict.fromkeys(jobs.values(), 0)
        for done in as_completed(jobs):
            account = jobs[done]
            try:
                found[account] += len(done.result())
            except AuthorizationRequired as required:  # errors travel between processes
                print(account, "needs its user:", required.reason)
            except TemporarilyUnavailable as wait:
                print(account, "again in", round(wait.retry_after), "seconds")
    for account, count in found.items():
        print(account, "has", count, "orders")
    if not found:
        print("no account is connected: start with notebook.py")


if __name__ == "__main__":
    main()
