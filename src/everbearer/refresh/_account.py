"""One account's token in this process: the fast path, and who waits for what."""

from __future__ import annotations

import logging
import math
from datetime import timedelta
from typing import TYPE_CHECKING

from everbearer.errors import (
    AuthorizationRequired,
    ConfigurationError,
    TemporarilyUnavailable,
)
from everbearer.events import StandingChanged
from everbearer.refresh._flight import Flight
from everbearer.refresh._held import Held, held_of
from everbearer.refresh._rejections import Rejections
from everbearer.stores import Refusal, Replacement
from everbearer.tokens import Standing, status_of

if TYPE_CHECKING:
    from everbearer.errors import Reason
    from everbearer.providers import Registration
    from everbearer.refresh._refresher import Refresher
    from everbearer.stores import Change
    from everbearer.tokens import AccountKey, AccountStatus, BackOff, TokenRecord

__all__ = ["AccountTokens"]

_log = logging.getLogger("everbearer.refresh")

# Each turn waits for a whole flight; a caller whose token is rejected while others
# start flights for reasons of their own needs two.
_MOST_FLIGHTS = 4
_QUIET = 1.0


class AccountTokens:
    """Implements `everbearer.tokens.TokenSource` for one account.

    There is one for each account in a Client, shared by all its sessions; it belongs
    to the event loop of its Client.
    """

    def __init__(
        self, refresher: Refresher, key: AccountKey, registration: Registration
    ) -> None:
        self.refresher = refresher
        self.key = key
        self.registration = registration
        self._elapsed = refresher.clock.elapsed
        self._held: Held | None = None
        self._flight: Flight | None = None
        self._rejected = Rejections()
        self._quiet_until = -math.inf
        self._one_shots = 0
        # The last change that was told while a flight was under way.
        self._told: Change | None = None
        self.forgotten = 0
        # A failure that the store did not take, by the store's clock.
        self.remembered: BackOff | None = None
        self._log_extra = {"provider": key.provider, "account": key.account}

    # ---- the fast path

    def current(self, margin: float = 0.0) -> str | None:
        """The token if it is fresh: one look and one comparison."""
        held = self._held
        if held is not None and self._elapsed() + margin < held.fresh_until:
            return held.access_token
        return self._stale(margin)

    def _stale(self, margin: float) -> str | None:
        """A stale token is used while one flight replaces it in the background."""
        held = self._held
        if held is None or not self._good_for(held, margin):
            return None
        now = self._elapsed()
        if now >= max(held.fresh_until, self._quiet_until) and not self.put_off():
            self.launch()
        return held.access_token

    def _good_for(self, held: Held, margin: float) -> bool:
        """Whether *held* may be used for *margin* s; half a lifetime must do."""
        return (
            held.access_token not in self._rejected
            and self._elapsed() + min(margin, held.half_life) < held.usable_until
        )

    def put_off(self) -> bool:
        """Where the old token dies at refresh, a body under way would die with it."""
        return bool(self._one_shots) and self.registration.provider.old_access_dies

    def accepted(self, access_token: str) -> None:
        """Note that the API took *access_token*."""
        held = self._held
        if held is not None and held.access_token == access_token:
            held.accepted = True

    def one_shot(self, change: int) -> None:
        """Count bodies under way that cannot be sent twice."""
        self._one_shots += change

    # ---- waiting for a flight

    def reject(self, rejected: str) -> None:
        """Note that the API refused *rejected*, and start replacing it; do not wait."""
        if self._note_rejected(rejected):
            self.launch()

    def _note_rejected(self, rejected: str) -> bool:
        """Remember *rejected*, unless this process has a newer token already."""
        held = self._held
        if held is not None and held.access_token != rejected:
            return False
        self._rejected.note(rejected, self.refresher.store_now())
        if held is not None:
            held.fresh_until = -math.inf
        return True

    async def replacement_for(
        self, rejected: str | None, *, revoked: bool = False, margin: float = 0.0
    ) -> str | None:
        """See `everbearer.tokens.TokenSource.replacement_for`."""
        if rejected is not None:
            self._note_rejected(rejected)
            if revoked:
                await self._end(rejected)
        elif (token := self.current(margin)) is not None:
            return token
        return await self._next(rejected, margin=margin)

    async def _next(
        self, rejected: str | None, *, margin: float, unwanted: str | None = None
    ) -> str | None:
        for _ in range(_MOST_FLIGHTS):
            token = self._servable(rejected, margin, unwanted)
            if token is not None:
                return token
            flight = self.launch(margin=margin, unwanted=unwanted)
            if rejected is unwanted is None:
                await flight.looked_up()
                if (token := self._servable(None, margin, None)) is not None:
                    return token
            landing = await flight.landed()
            if landing.error is not None:
                raise landing.error.copy()
            if landing.hand_back and rejected is not None:
                return None
            if landing.access_token not in {None, rejected}:
                return landing.access_token
        raise TemporarilyUnavailable(*self.key, "tokens change", retry_after=_QUIET)

    def _servable(
        self, rejected: str | None, margin: float, unwanted: str | None
    ) -> str | None:
        held = self._held
        if (
            held is None
            or held.access_token in {rejected, unwanted}
            or not self._good_for(held, margin)
        ):
            return None
        return held.access_token

    def launch(self, *, margin: float = 0.0, unwanted: str | None = None) -> Flight:
        """The flight under way, or a new one (one for each account in a process)."""
        flight = self._flight
        if flight is None:
            flight = Flight(self, margin=margin, unwanted=unwanted)
            self._flight = flight
            task = self.refresher.spawn(self.key, self._run(flight), "flight")
            task.add_done_callback(lambda _: self._ended(flight))
        return flight

    def _ended(self, flight: Flight) -> None:
        # A task that is cancelled before its first step runs none of its `finally`s.
        flight.closed()
        if self._flight is flight:
            self._flight = None

    async def _run(self, flight: Flight) -> None:
        try:
            landing = await flight.run()
        finally:
            self._flight = None
            if self._told is not None:
                self.told(self._told)
        held = self._held
        if held is None or self._elapsed() >= held.fresh_until:
            # It ended without a fresh token: no new one for each call meanwhile.
            self._quiet_until = self._elapsed() + max(_QUIET, landing.quiet)

    # ---- what a flight tells

    @property
    def rejected(self) -> frozenset[str]:
        """Tokens that the API refused and that may still be the stored one."""
        return self._rejected.tokens

    def was_accepted(self, access_token: str | None) -> bool:
        """Whether the API took *access_token* from this process."""
        held = self._held
        return bool(held and held.access_token == access_token and held.accepted)

    def rejections(self, spent: TokenRecord) -> int:
        """Rule 20: rejected tokens in a row, that of *spent* included."""
        accepted = self.was_accepted(spent.token.access_token)
        at = self.refresher.moment(self.key.provider)
        return self._rejected.in_a_row(spent, at, accepted=accepted)

    def adopt(self, record: TokenRecord, *, unsaved: bool = False) -> None:
        """Serve *record* from now on, unless a newer one is served already."""
        held = self._held
        if held is not None and held.is_newer_than(record):
            return  # Rule 20: never walk back.
        token = record.token
        if token.access_token is None or record.standing is not Standing.CONNECTED:
            self._held = None
            return
        same = held is not None and held.access_token == token.access_token
        if not same:
            self._rejected.keep_only(token.access_token)
            self._quiet_until = -math.inf
        self._held = held_of(
            record,
            token.access_token,
            self.registration.provider,
            self.refresher.moment(self.key.provider),
            rejected=token.access_token in self._rejected,
            accepted=same and held is not None and held.accepted,
            unsaved=unsaved,
        )

    def told(self, change: Change) -> None:
        """Somebody has written the record: a token that this ended is used no more.

        Nothing is read before a call needs a token, and then by an ordinary flight.
        """
        # A flight may have looked before the change, and adopts what it has seen.
        self._told = change if self._flight is not None else None
        held = self._held
        if held is not None and held.is_ended_by(change, self.registration.provider):
            held.withhold()

    def serves_another(self, incarnation: str) -> bool:
        """Whether a later authorization than *incarnation* is served here."""
        return self._held is not None and self._held.record.incarnation != incarnation

    def measure_again(self, pardoned: str | None = None) -> None:
        """See anew for how long the held token is good; *pardoned* may be it."""
        self._rejected.pardon(pardoned)
        if self._held is not None and not self._held.withheld:
            self.adopt(self._held.record, unsaved=self._held.unsaved)

    @property
    def served(self) -> TokenRecord | None:
        """The record whose token is served here, or would be."""
        return self._held.record if self._held is not None else None

    @property
    def unsaved(self) -> TokenRecord | None:
        """A rotated token that the store does not have yet."""
        held = self._held
        return held.record if held is not None and held.unsaved else None

    def saved(self) -> None:
        """The store has taken the unsaved token, or has another: look there again."""
        if self._held is not None:
            self._held.unsaved = False

    def forget(self) -> None:
        """Drop what is held in memory."""
        self._held = None
        self.forgotten += 1
        self._rejected.clear()
        self._quiet_until = -math.inf

    def abandon(self) -> None:
        """After a fork: a flight of the parent lands there, and never here."""
        self._flight = None
        self._one_shots = 0
        self.forget()

    async def _end(self, rejected: str) -> None:
        """The API said that the grant is over: mark it, if it was about this token.

        Raises:
            AuthorizationRequired: It was.
        """
        store = await self.refresher.open_store()
        record = await store.load(self.key)
        if record is None or record.token.access_token != rejected:
            return
        about = record.incarnation, record.refresh_fingerprint
        refusal = Refusal(*about, "revoked", detail="the provider's API said so")
        marked = await store.refuse(self.key, refusal)
        self.refresher.learn_store_clock(marked.now)
        if marked.outcome is Replacement.STORED:
            self.standing_changed("revoked")
        if marked.outcome in {Replacement.STORED, Replacement.SAME}:
            self.forget()
            raise self.authorization_required(marked.record)

    def standing_changed(self, reason: Reason) -> None:
        """Say once, loudly, that the user must act."""
        self.forget()
        _log.warning(
            "%s/%s must be connected again: %s",
            *self.key,
            reason,
            extra=self._log_extra,
        )
        needs = Standing.NEEDS_AUTHORIZATION.value
        self.refresher.hooks(StandingChanged(*self.key, needs, reason=reason))

    def authorization_required(
        self, record: TokenRecord | None
    ) -> AuthorizationRequired:
        """The error that *record* stands for."""
        status = status_of(self.key, record)
        return AuthorizationRequired(
            *self.key,
            status.reason or "never_connected",
            since=status.since,
            detail=record.detail if record else "",
        )

    # ---- for users of other HTTP libraries

    async def access_token(self, *, min_ttl: timedelta | float | None = None) -> str:
        """A token that is good now, and for *min_ttl* (seconds) if that can be had.

        Raises:
            AuthorizationRequired: The user must act.

            TemporarilyUnavailable: Not now; the grant is intact.

            ConfigurationError: The provider does not know this client, or *min_ttl*
                is no number of seconds.

            StoreError: The store failed.
        """
        ttl = min_ttl.total_seconds() if isinstance(min_ttl, timedelta) else min_ttl
        margin = ttl or 0.0
        if not 0 <= margin < math.inf:
            raise ConfigurationError(f"min_ttl is {margin}: give seconds from 0")
        token = self.current(margin) or await self._next(None, margin=margin)
        if token is None:
            raise TemporarilyUnavailable(
                *self.key, "no access token could be had", retry_after=_QUIET
            )
        return token

    async def refresh(self, *, rejected: str | None = None) -> AccountStatus:
        """Replace the current token; does nothing if it is not *rejected* any more.

        Raises what `access_token` raises.
        """
        if rejected is not None:
            await self.replacement_for(rejected)
        else:
            store = await self.refresher.open_store()
            pause = await self.replace(await store.load(self.key))
            if pause is not None:
                raise TemporarilyUnavailable(
                    *self.key,
                    "the token could not be replaced and lives on",
                    retry_after=pause,
                )
        return await self.status()

    async def replace(self, record: TokenRecord | None) -> float | None:
        """Replace the access token of *record*, if that is still what is stored.

        Returns:
            None if another one is stored now; else the seconds until a try may succeed.

        Raises what `access_token` raises.
        """
        store = await self.refresher.open_store()
        unwanted, quiet = record.token.access_token if record else None, _QUIET
        # The first one may be under way for another reason.
        for _ in range(2):
            landing = await self.launch(unwanted=unwanted).landed()
            if landing.error is not None:
                raise landing.error.copy()
            latest = await store.load(self.key)
            # Not the access token: some providers send the same one again.
            if record is None or latest is None or latest.version > record.version:
                return None
            quiet = max(quiet, landing.quiet)
        return quiet

    async def status(self) -> AccountStatus:
        """What is stored of the account, without secrets."""
        store = await self.refresher.open_store()
        return status_of(self.key, await store.load(self.key))
