"""What the examples share: who they are at Billit, and where their tokens live.

As it is, they talk to the sandbox that `everbearer sandbox` starts on this machine.
For the real Billit say which one, and what it knows your program by:

    export BILLIT=sandbox              # Billit's own sandbox, or "production"
    export BILLIT_CLIENT_ID=...
    export BILLIT_CLIENT_SECRET=...
    export BILLIT_REDIRECT_URI=...     # as it was registered; leads to /callback

BILLIT may also be the base URL of a sandbox that listens elsewhere.
"""

import os

from everbearer import Registration
from everbearer.providers import BILLIT

# With a store of their own: the tokens of one environment are no good in another.
STORE = os.environ.get("TOKEN_STORE", "sqlite:///example-tokens.db")

where = os.environ.get("BILLIT", "http://127.0.0.1:8410")

REGISTRATION = Registration(
    BILLIT.with_hosts(login=where, token=where, api=where)
    if where.startswith("http")
    else BILLIT.in_environment(where),
    client_id=os.environ.get("BILLIT_CLIENT_ID", "sandbox-client"),
    client_secret=os.environ.get("BILLIT_CLIENT_SECRET", "sandbox-secret"),
    redirect_uri=os.environ.get(
        "BILLIT_REDIRECT_URI", "http://127.0.0.1:8411/callback"
    ),
)
