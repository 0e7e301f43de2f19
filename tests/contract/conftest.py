"""One contract, every store.

The tests in this folder that ask for `store` know nothing of what is behind it.  A new
back end joins by an entry in `_MAKERS`; all else they need is `clock` and `make`.
"""

from __future__ import annotations

import pytest
import pytest_asyncio

from everbearer import Token
from everbearer._redact import fingerprint
from everbearer.stores import (
    Asked,
    MemoryStore,
    NewGrant,
    Refusal,
    Rotation,
    SqliteStore,
)
from everbearer.tokens import (
    AccountKey,
    BackOff,
    BackOffKind,
    PendingAuthorization,
)

_MAKERS = {
    "memory": lambda clock, _folder: MemoryStore(clock),
    "sqlite": lambda clock, folder: SqliteStore(folder / "tokens.db", clock=clock),
}


class FakeClock:
    """Stands still unless told otherwise."""

    def __init__(self):
        self.now = 1_700_000_000.0

    def wall(self):
        return self.now

    def boot(self):
        return None

    def elapsed(self):
        return self.now

    def advance(self, seconds):
        self.now += seconds


class Make:
    """Builds what stores are asked with, all of it about account `key`."""

    key = AccountKey("billit", "acme")

    def grant(self, name="r0", incarnation="i0", *, if_absent=False, **token):
        return NewGrant(
            incarnation,
            Token(access_token=f"access-{name}", refresh_token=name, **token),
            client_id="client",
            token_origin="https://login.example",
            if_absent=if_absent,
        )

    def asked(self, flight="flight-a", term=10.0):
        return Asked(flight, f"holder of {flight}", term)

    def rotation(self, record, name="r1", flight="flight-a", **members):
        return Rotation(
            record.incarnation,
            record.version,
            Token(access_token=f"access-{name}", refresh_token=name),
            flight,
            **members,
        )

    def refusal(self, record, flight="flight-a", **members):
        return Refusal(
            record.incarnation,
            record.refresh_fingerprint,
            "refused",
            flight,
            "invalid_grant",
            **members,
        )

    def back_off(self, kind=BackOffKind.UNAVAILABLE, until=5.0, about="r0"):
        about = "" if kind is BackOffKind.THROTTLED else fingerprint(about)
        return BackOff(kind, until, about, 1, -2.0, "token endpoint: 503")

    def pending(self, state="s0", expires_at=1_700_000_600.0, key=None):
        return PendingAuthorization(
            state_fingerprint=state,
            key=key or self.key,
            redirect_uri="https://app.example/callback",
            code_verifier=f"verifier-{state}",
            scopes=("read", "write"),
            expires_at=expires_at,
        )


@pytest.fixture(autouse=True)
def _no_stray_keys(monkeypatch):
    monkeypatch.delenv("EVERBEARER_KEYS", raising=False)


@pytest.fixture(name="clock")
def _clock():
    return FakeClock()


@pytest.fixture(name="make")
def _make():
    return Make()


@pytest_asyncio.fixture(name="store", params=_MAKERS)
async def _store(request, clock, tmp_path):
    store = _MAKERS[request.param](clock, tmp_path)
    await store.open()
    yield store
    await store.aclose()


@pytest_asyncio.fixture(name="connected")
async def _connected(store, make):
    """The record of an account that was just connected."""
    return await store.put(make.key, make.grant())
