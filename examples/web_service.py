"""A web service with many tenants, each connected to Billit by its own user.

It shows: connect link and callback bound to the browser's session, one Client for all
tenants, identity headers, errors turned into responses by whose move is next, and a
shutdown that loses no rotation.

    pip install 'everbearer[cli]' starlette itsdangerous uvicorn
    everbearer sandbox                       # in another terminal
    uvicorn web_service:app --app-dir examples --port 8411 --no-access-log

Log in at http://127.0.0.1:8411/login/acme, connect at http://127.0.0.1:8411/connect,
and see the orders at http://127.0.0.1:8411/orders.  Log in as somebody else for the
next tenant.

An access log would hold callbacks, with the code and the state in their URLs.

For the real Billit set the variables that settings.py names, serve it over https, and
put your own log-in in the place of /login.
"""

import math
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from everbearer import (
    AuthorizationRequired,
    CallbackError,
    Client,
    EverbearerError,
    TemporarilyUnavailable,
    TokenEndpointError,
)
from settings import REGISTRATION, STORE

client = Client(REGISTRATION, store=STORE)


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    # uvicorn lets requests finish, then comes back here; leaving the Client waits for
    # refreshes that are under way, also for callers who have gone.
    async with client:
        yield


# ---- routes


def tenant_of(request: Request) -> str:
    """Who is logged in in this browser."""
    if "tenant" not in request.session:
        raise HTTPException(401, "log in first")
    return str(request.session["tenant"])


async def login(request: Request) -> Response:
    """Stands for your own log-in."""
    request.session.clear()
    request.session["tenant"] = request.path_params["tenant"]
    return JSONResponse({"tenant": tenant_of(request)})


async def connect(request: Request) -> Response:
    started = await client.authorization.start("billit", tenant_of(request))
    request.session["state"] = started.state
    return RedirectResponse(started.url, status_code=303)


async def callback(request: Request) -> Response:
    status = await client.authorization.finish(
        request.url,
        state=request.session.get("state", ""),
        account=tenant_of(request),
    )
    return JSONResponse({"tenant": status.account, "standing": status.standing})


async def companies(request: Request) -> Response:
    """Those that the tenant's user may act for, each with its PartyID."""
    status = await client.session("billit", tenant_of(request)).status()
    # As Billit told it when the tenant connected; nothing if it did not answer then.
    told = status.extra.get("account_information", {})
    return JSONResponse(told.get("Companies", []))


async def orders(request: Request) -> Response:
    """The tenant's, or those of one of its companies."""
    billit = client.session("billit", tenant_of(request))
    if "party_id" in request.path_params:
        company = {"PartyID": str(request.path_params["party_id"])}
        billit = billit.with_headers(company)
    async with billit.get(
        "/v1/orders", params={"$top": 10}, raise_for_status=True
    ) as response:
        return JSONResponse((await response.json())["Items"])


# ---- errors, by whose move is next


async def users_move(_: Request, error: Exception) -> Response:
    assert isinstance(error, AuthorizationRequired)
    return JSONResponse({"reason": error.reason, "connect": "/connect"}, 409)


async def start_again(_: Request, error: Exception) -> Response:
    assert isinstance(error, CallbackError)
    return JSONResponse({"reason": error.code, "connect": "/connect"}, 400)


async def wait(_: Request, error: Exception) -> Response:
    assert isinstance(error, TemporarilyUnavailable)
    seconds = math.ceil(error.retry_after)
    return JSONResponse({"retry_after": seconds}, 503, {"Retry-After": str(seconds)})


async def providers_move(_: Request, error: Exception) -> Response:
    return JSONResponse({"reason": f"Billit: {type(error).__name__}"}, 502)


async def ours(_: Request, error: Exception) -> Response:
    raise error  # a wrong setting, a full disk: 500, and a traceback in the log


app = Starlette(
    lifespan=lifespan,
    routes=[
        Route("/login/{tenant}", login),
        Route("/connect", connect),
        Route("/callback", callback),
        Route("/orders", orders),
        Route("/companies", companies),
        Route("/companies/{party_id:int}/orders", orders),
    ],
    exception_handlers={
        AuthorizationRequired: users_move,
        CallbackError: start_again,
        TemporarilyUnavailable: wait,
        TokenEndpointError: providers_move,
        EverbearerError: ours,
        aiohttp.ClientError: providers_move,
        TimeoutError: providers_move,
    },
    middleware=[
        # Several processes need one key; https_only=True belongs beside real https.
        Middleware(
            SessionMiddleware,
            secret_key=os.environ.get("SESSION_KEY") or secrets.token_urlsafe(),
        )
    ],
)
