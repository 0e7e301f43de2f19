"""Who judges a run: the issuer, which sees every request, and nobody's promises.

It knows what no client can know: which pair lives, and whom it has reached.
"""

from __future__ import annotations

from attrs import define, field, frozen
from tests.failures._world import LIFETIME

from everbearer import Token
from everbearer.token_endpoint import Granted, Refused

EPSILON = 1e-6


@frozen
class Flavour:
    """What a provider does with a refresh token that was spent before.

    Attributes:
        window: Seconds for which it still gets an answer; 0 for never.

        mints: Whether that answer is a new pair, and the one before it ends.

        closes: Whether the first use of the successor's access token ends the window.

        revokes: Whether the family ends with a spent token outside the window.
    """

    name: str
    window: float = 0.0
    mints: bool = False
    closes: bool = False
    revokes: bool = True


@define(eq=False)
class Sending:
    """One presentation of a refresh token, from the write on.

    Attributes:
        sender: The process.

        undone: Whether its sender has been told that it was not processed.

        pair: The name of the refresh token that it brought.

        holder: The process that has read it.
    """

    token: str
    sender: object
    at: float
    undone: bool = False
    pair: str | None = None
    holder: object = None


@define(eq=False)
class Judge:
    """The issuer of a model, and the evidence.

    Attributes:
        violations: What must never happen and did, in words.

        living: The one refresh token of each family that is good now.

        parent: By which refresh token each was got.

        excused: Families that ended as PROTOCOL's last section says they may.

        last_resorts: How often a spent token was presented with good reason.
    """

    time: object
    flavour: Flavour
    timing: object
    leeway: float
    lifetime: float
    violations: list[str] = field(factory=list)
    sendings: list[Sending] = field(factory=list)
    living: dict[str, str] = field(factory=dict)
    parent: dict[str, str] = field(factory=dict)
    revoked: set[str] = field(factory=set)
    excused: set[str] = field(factory=set)
    used: set[str] = field(factory=set)
    dead: set[str] = field(factory=set)
    last_resorts: int = 0
    _pairs: dict[str, object] = field(factory=dict)
    _spent_at: dict[str, float] = field(factory=dict)
    _quiet: dict[float, float] = field(factory=dict)

    def broken(self, what):
        self.violations.append(f"{what} (at {self.time.passed:.2f})")

    # ---- tokens

    def pair(self, refresh_token, lifetime=LIFETIME):
        known = self._pairs.get(refresh_token)
        if known is None:
            ends = self.time.ends(lifetime)
            known = Token(f"access-{refresh_token}", refresh_token, ends)
            self._pairs[refresh_token] = known
        return known

    def left(self, access_token):
        """Seconds until *access_token* ends, as far as the clock goes."""
        ends = self._pairs[_refresh_token_of(access_token)].expires_at
        return ends.timestamp() - self.time.wall()

    def accepts(self, access_token):
        """Whether the API takes it now."""
        refresh_token = _refresh_token_of(access_token)
        family = refresh_token[0]
        living = self.living.get(family)
        outdone = (
            self.flavour.mints
            and refresh_token != living
            and refresh_token in self.parent
            and self.parent[refresh_token] == self.parent.get(living)
        )
        return (
            refresh_token in self._pairs
            and family not in self.revoked
            and access_token not in self.dead
            and not outdone
            and self.left(access_token) > 0
        )

    def use(self, access_token):
        """A call with *access_token*; return whether it succeeded."""
        accepted = self.accepts(access_token)
        if accepted:
            self.used.add(access_token)
        return accepted

    # ---- requests

    def written(self, token, sender):
        """*token* leaves *sender* now; note whether it may."""
        now = self.time.passed
        for until, from_ in self._quiet.items():
            if from_ < now < until - EPSILON:
                self.broken(f"{token}: asked before Retry-After was over")
        earlier = [s for s in self.sendings if s.token == token and not s.undone]
        for sending in earlier:
            if now - sending.at < self.timing.linger - EPSILON:
                self.broken(f"{token}: two requests at a time")
            self._answered(sending, sender)
        access_token = f"access-{token}"
        if self.accepts(access_token):
            if earlier:
                self.broken(f"{token}: there is something left to lose")
            elif self.left(access_token) > self.leeway + EPSILON:
                self.broken(f"{token}: its access token is fresh")
        sending = Sending(token, sender, now)
        self.sendings.append(sending)
        return sending

    def _answered(self, sending, sender):
        """What the answer to *sending* means for *sender*, who presents its token."""
        holder = sending.holder
        if holder is None:
            if sending.sender.stopped:
                # It may have come, and lie there unread.
                self.excused.add(sending.token[0])
        elif not holder.dead:
            if holder is sender or not holder.alone_lately():
                self.broken(f"{sending.token}: its successor is in good hands")
            else:
                self.excused.add(sending.token[0])

    def process(self, refresh_token):
        family = refresh_token[0]
        living = self.living.setdefault(family, f"{family}0")
        number = int(refresh_token[1:].partition(".")[0])
        if family in self.revoked:
            return Refused("invalid_grant", "", 400)
        if refresh_token == living:
            self._spent_at[refresh_token] = self.time.passed
            return self._grant(refresh_token, f"{family}{number + 1}")
        if self._in_window(refresh_token, living):
            if not self.flavour.mints:
                return Granted(self.pair(living))
            twin = f"{family}{number + 1}.{len(self._pairs)}"
            return self._grant(refresh_token, twin)
        self.last_resorts += 1
        if self.flavour.window:
            self.broken(f"{refresh_token}: reused at a provider with a window")
        if self.flavour.revokes:
            self.revoked.add(family)
        return Refused("invalid_grant", "", 400)

    def _in_window(self, refresh_token, living):
        spent_at = self._spent_at.get(refresh_token, -1e9)
        return (
            self.parent.get(living) == refresh_token
            and self.time.passed <= spent_at + self.flavour.window
            and not (self.flavour.closes and f"access-{living}" in self.used)
        )

    def _grant(self, spent, new):
        self.living[spent[0]] = new
        self.parent[new] = spent
        return Granted(self.pair(new, self.lifetime))

    def throttled(self, until):
        """A Retry-After is on record; what is under way elsewhere may go on."""
        grace = self.timing.lease + self.timing.connect
        self._quiet.setdefault(until, self.time.passed + grace)

    def forget_throttles(self):
        """The account is deleted."""
        self._quiet.clear()

    def was_refused_at_once(self, token):
        """Whether *token* is the last of its family, and was presented just once."""
        presented = [each for each in self.sendings if each.token == token]
        return token == self.living.get(token[0]) and len(presented) == 1

    def in_good_hands(self, family):
        """Whether a living process has read the pair that lives."""
        living = self.living.get(family)
        return any(
            sending.pair == living
            and sending.holder is not None
            and not sending.holder.dead
            for sending in self.sendings
        )


def _refresh_token_of(access_token):
    return access_token.removeprefix("access-")
