"""What stores are asked with, and the clock that they tell the time by."""

from __future__ import annotations

from typing import Any

from everbearer._redact import fingerprint
from everbearer.stores import Asked, NewGrant, Refusal, Rotation
from everbearer.tokens import (
    AccountKey,
    BackOff,
    BackOffKind,
    PendingAuthorization,
    Token,
    TokenRecord,
)

__all__ = ["Make", "StandingClock"]


class StandingClock:
    """Stands still unless told otherwise."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def wall(self) -> float:
        """Seconds since the epoch."""
        return self.now

    def boot(self) -> str | None:
        """No other process is to agree with it."""
        return None

    def elapsed(self) -> float:
        """The same: it is never set."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Move on."""
        self.now += seconds


class Make:
    """Builds what stores are asked with, all of it about account `key`."""

    key = AccountKey("billit", "acme")

    def grant(
        self,
        name: str | None = "r0",
        incarnation: str = "i0",
        *,
        if_absent: bool = False,
        **token: Any,  # noqa: ANN401 - of Token
    ) -> NewGrant:
        """What `TokenStore.put` takes."""
        return NewGrant(
            incarnation,
            Token(access_token=f"access-{name}", refresh_token=name, **token),
            client_id="client",
            token_origin="https://login.example",
            if_absent=if_absent,
        )

    def asked(self, flight: str = "flight-a", term: float = 10.0) -> Asked:
        """Who asks for a lease."""
        return Asked(flight, f"holder of {flight}", term)

    def rotation(
        self,
        record: TokenRecord,
        name: str = "r1",
        flight: str = "flight-a",
        **members: Any,  # noqa: ANN401 - of Rotation
    ) -> Rotation:
        """The successor of what is in *record*."""
        return Rotation(
            record.incarnation,
            record.version,
            Token(access_token=f"access-{name}", refresh_token=name),
            flight,
            **members,
        )

    def refusal(
        self,
        record: TokenRecord,
        flight: str = "flight-a",
        **members: Any,  # noqa: ANN401 - of Refusal
    ) -> Refusal:
        """The token endpoint's refusal of what is in *record*."""
        return Refusal(
            record.incarnation,
            record.refresh_fingerprint,
            "refused",
            flight,
            "invalid_grant",
            **members,
        )

    def back_off(
        self,
        kind: BackOffKind = BackOffKind.UNAVAILABLE,
        until: float = 5.0,
        about: str = "r0",
    ) -> BackOff:
        """A back-off, about one token or about the account."""
        about = "" if kind is BackOffKind.THROTTLED else fingerprint(about)
        return BackOff(kind, until, about, 1, -2.0, "token endpoint: 503")

    def pending(
        self,
        state: str = "s0",
        expires_at: float = 1_700_000_600.0,
        key: AccountKey | None = None,
    ) -> PendingAuthorization:
        """An authorization whose callback is still out."""
        return PendingAuthorization(
            state_fingerprint=state,
            key=key or self.key,
            redirect_uri="https://app.example/callback",
            code_verifier=f"verifier-{state}",
            scopes=("read", "write"),
            expires_at=expires_at,
        )
