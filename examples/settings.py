"""What the examples share: who they are at Billit, and where their tokens live.

As it is, they talk to the sandbox that `everbearer sandbox` starts on this machine.
For the real Billit say which one, and what it knows your program by:

    export BILLIT=sandbox              # Billit's own sandbox, or "production"
    export BILLIT_CLIENT_ID=...
    export BILLIT_CLIENT_SECRET=...
    export BILLIT_REDIRECT_URI=...     # as it was registered; leads to /callback

BILLIT may also be the base URL of a sandbox that listens elsewhere.  Each environment
needs a store of its own (TOKEN_STORE), because tokens of one are no good in another.
"""

import os

from everbearer import Registration
from everbearer.providers import BILLIT

STORE = os.environ.get("TOKEN_STORE", "sqlite:///example-tokens.db")

where = os.environ.get("BILLIT", "http://127.0.0.1:8410")

if where.startswith("http"):
    REGISTRATION = Registration(
        BILLIT.with_hosts(login=where, token=where, api=where),
        client_id="sandbox-client",
        client_secret="sandbox-secret",
        redirect_uri="http://127.0.0.1:8411/callback",
    )
else:
    REGISTRATION = Registration(
        BILLIT.in_environment(where),
        client_id=os.environ["BILLIT_CLIENT_ID"],
        client_secret=os.environ["BILLIT_CLIENT_SECRET"],
        redirect_uri=os.environ["BILLIT_REDIRECT_URI"],
    )
