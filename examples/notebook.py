"""A notebook: cells that share a Client, and no `async with` anywhere.

It shows: an account connected by hand, a Client that opens itself at first use and
stays open between cells, and `aclose` at the end.

    pip install 'everbearer[cli]'
    everbearer sandbox                     # in another terminal
    python examples/notebook.py acme

In Jupyter and in `python -m asyncio` the event loop is there already: write `await x`
where this says `run(x)`, and leave the Runner out.  For the real Billit set the
variables that settings.py names; the browser then ends on your redirect URI, and its
address is what to paste.
"""

# %%
import asyncio
import sys

from everbearer import Client
from settings import REGISTRATION, STORE

runner = asyncio.Runner()
run = runner.run
account = sys.argv[1] if len(sys.argv) > 1 else "acme"

# %% The Client needs no opening: the first thing it is asked for opens it.
client = Client(REGISTRATION, store=STORE)
billit = client.session("billit", account)
status = run(billit.status())
print(account, "is", status.standing)

# %% Only the first time, and after the user has withdrawn the grant.
if status.standing != "connected":
    request = run(client.authorization.start("billit", account))
    print("Open this link, allow it, and paste the address that the browser ends on:")
    print(request.url)
    status = run(client.authorization.finish(input("> "), state=request.state))
    print(account, "is", status.standing)

# %%
response = run(billit.get("/v1/orders", params={"$top": 3}))
for order in run(response.json())["Items"]:
    print(order["OrderNumber"])

# %% The last cell.  It waits for a refresh that is under way.
run(client.aclose())
runner.close()
