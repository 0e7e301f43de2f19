"""Parent and child of a fork rotate in turn; each learns of what the other did.

Arguments: URL of the store, URL of the sandbox.
"""

from __future__ import annotations

import asyncio
import os
import sys
import warnings

from attrs import evolve

from everbearer import Client, Registration
from everbearer.providers import BILLIT
from everbearer.tokens import AccountKey

warnings.simplefilter("ignore", DeprecationWarning)  # fork beside a thread
store, sandbox = sys.argv[1:]
provider = evolve(BILLIT.with_hosts(sandbox, sandbox, sandbox), old_access_dies=True)
registration = Registration(provider, "sandbox-client", "sandbox-secret")


async def call(client):
    async with client.session("billit", "acme").get("/v1/whoami") as response:
        assert response.status == 200


async def ready(client):
    """Serve the account, and listen."""
    await call(client)
    (connections,) = client._store._open.values()
    while not connections.listening:
        await asyncio.sleep(0.01)


async def told(client):
    """Wait until the token here is known to be dead, and call with the next one."""
    while client._refresher.account(AccountKey("billit", "acme")).current() is not None:
        await asyncio.sleep(0.005)
    await call(client)


async def in_child(client, say, hear):
    await client.aclose()
    async with client:  # on purpose: opened anew, in this process
        await ready(client)
        os.write(say, b"1")
        await told(client)
        assert await asyncio.to_thread(os.read, hear, 1) == b"2"
        await client.session("billit", "acme").refresh()


async def main():
    (to_parent, say), (to_child, tell) = os.pipe(), os.pipe()
    async with Client(registration, store=store) as client:
        await ready(client)
        if (pid := os.fork()) == 0:
            try:
                asyncio.run(in_child(client, say, to_child))
                os._exit(0)
            finally:
                os._exit(1)
        assert await asyncio.to_thread(os.read, to_parent, 1) == b"1"
        await client.session("billit", "acme").refresh()
        os.write(tell, b"2")
        await told(client)
        _, status = await asyncio.to_thread(os.waitpid, pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0


asyncio.run(main())
print("both were told")
