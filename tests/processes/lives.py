"""Programs that live in unusual ways: ``lives.py <how> <order>``; says in JSON.

The order is JSON with the sandbox's ``url`` and the ``store``.  What they say is how
often each outcome was seen; "ok" is a call that was answered for the right account.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import sys
import threading
import time
import warnings
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import aiohttp

from everbearer import Client, ConfigurationError, EverbearerError, Registration
from everbearer.providers import BILLIT
from everbearer.stores import SqliteStore

# Forking beside a thread is what these programs are about.
warnings.filterwarnings("ignore", "This process.*is multi-threaded")

ACCOUNTS = ("company-1", "company-2")
SECONDS = 2.5
WORKERS = 3


def new_client(order, **options):
    provider = BILLIT.with_hosts(order["url"], order["url"], order["url"])
    registration = Registration(provider, "sandbox-client", "sandbox-secret")
    return Client(registration, **{"store": order["store"], **options})


async def call(client, account, seen):
    try:
        async with client.session("billit", account).get("/v1/whoami") as response:
            right = response.status == 200
            right = right and (await response.json())["company"] == account
            seen["ok" if right else f"status {response.status}"] += 1
    except (EverbearerError, aiohttp.ClientError, TimeoutError) as error:
        seen[f"{type(error).__name__}: {error}"] += 1


async def call_for_a_while(client, seconds=SECONDS):
    """Tokens live a second: every caller sees a few of them end."""
    seen, until = Counter(), time.monotonic() + seconds

    async def caller(account):
        while time.monotonic() < until:
            await call(client, account, seen)
            await asyncio.sleep(0.02)

    await asyncio.gather(*(caller(account) for account in ACCOUNTS * 3))
    return seen


async def use(client, seconds=SECONDS):
    async with client:
        return await call_for_a_while(client, seconds)


def work(order):
    """A process or a thread, with a Client and an event loop of its own."""
    return asyncio.run(use(new_client(order)))


def work_and_tell(order, queue):
    queue.put(work(order))


# ---- processes


def started(method, order):
    """Three children, the parent's Client open and busy all the while."""
    context = multiprocessing.get_context(method)
    queue = context.Queue()

    async def parent():
        async with new_client(order) as client:
            await call_for_a_while(client, 0.3)  # Connections are open, tokens held.
            children = [
                context.Process(target=work_and_tell, args=(order, queue))
                for _ in range(WORKERS)
            ]
            for child in children:
                child.start()
            return children, await call_for_a_while(client)

    children, seen = asyncio.run(parent())
    for _ in children:
        seen += queue.get(timeout=30)
    for child in children:
        child.join()
        seen[f"exit {child.exitcode}"] += 1
    return seen


def fork(order):
    return started("fork", order)


def spawn(order):
    return started("spawn", order)


def in_children(run):
    """Fork three times; what *run* says in each, added up."""
    seen, pipes = Counter(), []
    for _ in range(WORKERS):
        reading, writing = os.pipe()
        if (pid := os.fork()) == 0:
            try:
                os.write(writing, json.dumps(run()).encode())
                os._exit(0)
            finally:
                os._exit(1)
        os.close(writing)
        pipes.append((pid, reading))
    for pid, reading in pipes:
        with os.fdopen(reading, "rb") as pipe:
            seen += Counter(json.loads(pipe.read() or b"{}"))
        seen[f"exit {os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}"] += 1
    return seen


def preload(order):
    """The Client is made at import, before the server forks its workers."""
    client = new_client(order)

    def worker():
        seen = asyncio.run(use(client))
        assert str(os.getpid()) in client._refresher.holder
        return seen

    seen = in_children(worker)
    return seen + asyncio.run(use(client))


def preload_opened(order):
    """It was even used before the fork: a clear error, or closed and opened anew."""
    client = new_client(order)

    async def worker():
        seen = Counter()
        await call(client, ACCOUNTS[0], seen)
        await client.aclose()
        return seen + await use(client, 1.5)

    async def parent():
        async with client:
            seen = await call_for_a_while(client, 0.3)  # Connections are open.
            await client.session("billit", ACCOUNTS[0]).refresh()
            seen += in_children(lambda: asyncio.run(worker()))
            return seen + await call_for_a_while(client, 0.5)

    return asyncio.run(parent())


def process_pool(order):
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        seen = sum(pool.map(work, [order] * 4), Counter())
        try:
            pool.submit(work, new_client(order)).result()
        except TypeError as error:
            seen[str(error)] += 1
    return seen


# ---- threads and loops


def threads(order):
    """A Client in each thread, and the main thread's own."""
    with ThreadPoolExecutor(WORKERS) as pool:
        others = [pool.submit(work, order) for _ in range(WORKERS)]
        seen = work(order)
        return sum((other.result() for other in others), seen)


def threads_on_one_store(order):
    """One store object for all of them; the first that closes leaves it open."""
    store = SqliteStore(order["store"].removeprefix("sqlite:///"))

    def worker(seconds):
        return asyncio.run(use(new_client(order, store=store), seconds))

    with ThreadPoolExecutor(WORKERS) as pool:
        return sum(pool.map(worker, [0.5, 1.5, SECONDS]), Counter())


def threads_on_one_client(order):
    """One of them has it; to the others it says what to do instead."""
    client, together = new_client(order), threading.Barrier(WORKERS)
    done = threading.Barrier(WORKERS)

    async def job():
        seen = Counter()
        together.wait()
        await call(client, ACCOUNTS[0], seen)
        await asyncio.to_thread(done.wait)
        if seen["ok"]:
            await client.aclose()
        return seen

    with ThreadPoolExecutor(WORKERS) as pool:
        jobs = [pool.submit(asyncio.run, job()) for _ in range(WORKERS)]
        return sum((job.result() for job in jobs), Counter())


def from_other_threads(order):
    """Synchronous code in threads, on a Client in the loop of another."""

    async def main():
        async with new_client(order) as client:
            loop = asyncio.get_running_loop()

            def job(account):
                seen = Counter()
                calling = call(client, account, seen)
                asyncio.run_coroutine_threadsafe(calling, loop).result()
                return seen

            with ThreadPoolExecutor(8) as pool:
                jobs = (
                    loop.run_in_executor(pool, job, account)
                    for account in ACCOUNTS * 20
                )
                return sum(await asyncio.gather(*jobs), Counter())

    return asyncio.run(main())


def two_loops(order):
    """Two event loops take turns in one thread, each with a Client for its turn."""
    seen, client, other = Counter(), new_client(order), new_client(order)
    with asyncio.Runner() as one, asyncio.Runner() as two:
        for _ in range(3):
            seen += one.run(use(client, 0.4)) + two.run(use(other, 0.4))
        one.run(client.open())
        two.run(call(client, ACCOUNTS[0], seen))
        one.run(client.aclose())
    return seen


def jobs(order):
    """One asyncio.run for each job, with a Client of the module's."""
    client = new_client(order)
    return sum((asyncio.run(use(client, 0.4)) for _ in range(6)), Counter())


def jobs_left_open(order):
    """The same without `async with`: the second job is told."""
    warnings.simplefilter("ignore", ResourceWarning)  # Of connections left open.
    client, seen = new_client(order), Counter()
    for _ in range(2):
        asyncio.run(call(client, ACCOUNTS[0], seen))
    return seen + asyncio.run(closed_and_used(client))


async def closed_and_used(client):
    await client.aclose()
    return await use(client, 0.4)


def reopened(order):
    """Closed and opened again, in one loop."""

    async def main():
        client, seen = new_client(order), Counter()
        for _ in range(4):
            async with client:
                seen += await call_for_a_while(client, 0.5)
            try:
                await client.session("billit", ACCOUNTS[0]).get("/v1/whoami")
            except ConfigurationError as error:
                seen[str(error)] += 1
        return seen

    return asyncio.run(main())


if __name__ == "__main__":
    json.dump(globals()[sys.argv[1]](json.loads(sys.argv[2])), sys.stdout)
