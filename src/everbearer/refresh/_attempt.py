"""What the steps of one flight share, and how a flight can end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field, frozen

from everbearer.errors import ConfigurationError, TemporarilyUnavailable
from everbearer.refresh._decision import Fact, Situation, facts_of

if TYPE_CHECKING:
    from everbearer._clock import Clock
    from everbearer.errors import EverbearerError
    from everbearer.providers import Registration
    from everbearer.refresh._account import AccountTokens
    from everbearer.refresh._refresher import Refresher
    from everbearer.refresh._timing import Timing
    from everbearer.stores import Acquired, Asked
    from everbearer.tokens import AccountKey, Intent, TokenRecord

__all__ = ["Attempt", "Landing"]


@frozen
class Landing:
    """How a flight ended, the same for all who waited.

    Attributes:
        access_token: What to use now, or None.

        error: What to raise (a copy for each waiter), or None.

        hand_back: A refresh would not help; the API's answer goes to the caller.

        quiet: Seconds during which no further flight would do better.
    """

    access_token: str | None = field(default=None, repr=False)
    error: EverbearerError | None = None
    hand_back: bool = False
    quiet: float = 0.0


@define(eq=False)
class Attempt:
    """One flight's identity and tools.

    Attributes:
        account: Whose token.

        asked: The lease it asks for; the id is random for each flight (rule 7).

        credential: Fingerprint of the registration's client id and secret.

        margin: Seconds for which its callers need the token.

        unwanted: An access token to be replaced although nothing is wrong with it.
    """

    account: AccountTokens
    asked: Asked
    credential: str
    margin: float
    unwanted: str | None = field(repr=False)

    @property
    def key(self) -> AccountKey:
        return self.account.key

    @property
    def refresher(self) -> Refresher:
        return self.account.refresher

    @property
    def registration(self) -> Registration:
        return self.account.registration

    @property
    def timing(self) -> Timing:
        return self.account.refresher.timing

    @property
    def clock(self) -> Clock:
        return self.account.refresher.clock

    @property
    def log_extra(self) -> dict[str, str]:
        return {"provider": self.key.provider, "account": self.key.account}

    def situation(
        self,
        record: TokenRecord | None = None,
        *,
        leased: bool = False,
        found: Intent | None = None,
    ) -> Situation:
        """What a decision about *record* rests on now."""
        return Situation(
            wall=self.refresher.skews.now(self.key.provider),
            store_now=self.refresher.store_now(),
            client_id=self.registration.client_id,
            token_origin=self.registration.token_origin,
            credential=self.credential,
            rejected=self.account.rejected,
            accepted=record is not None
            and self.account.was_accepted(record.token.access_token),
            margin=self.margin,
            unwanted=self.unwanted,
            leased=leased,
            found=found,
            remembered=self.account.remembered,
        )

    def may_replay(self, record: TokenRecord, acquired: Acquired) -> bool:
        """Rule 18, asked again when sending: whether the window is open still."""
        at = self.situation(record, leased=True, found=acquired.found)
        facts = facts_of(record, at, self.registration.provider, self.timing)
        return Fact.WINDOW in facts

    # ---- landings that need no look at the record

    def unavailable(self, message: str, *, retry_after: float) -> Landing:
        """Wait; the grant is intact."""
        error = TemporarilyUnavailable(*self.key, message, retry_after=retry_after)
        return Landing(error=error, quiet=max(0.0, retry_after))

    def misconfigured(self, why: str) -> Landing:
        """The developer's move, unless the token can be used meanwhile."""
        token = self.account.current()
        if token is not None:
            return Landing(token, quiet=self.timing.back_off)
        return Landing(
            error=ConfigurationError(
                f"the token endpoint does not accept registration "
                f"{self.key.provider!r} ({why}): check its client_id and "
                "client_secret; no grant was lost"
            )
        )

    def mismatch(self, record: TokenRecord) -> Landing:
        """The grant is another registration's: nothing is spent."""
        mine = self.registration
        what = (
            f"client id {record.client_id!r}, not {mine.client_id!r}"
            if record.client_id != mine.client_id
            else f"token endpoint {record.token_origin}, not {mine.token_origin}"
        )
        return Landing(
            error=ConfigurationError(
                f"account {self.key.account!r} at {self.key.provider!r} was connected "
                f"with {what}: use that registration, or connect the account again; "
                "nothing was spent"
            )
        )
