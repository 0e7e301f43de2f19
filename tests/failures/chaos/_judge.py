"""Is what happened what was promised?  Pure: evidence in, verdict out.

Instants are seconds of the clock that all processes of the host share.

A failed call was *due* in these cases only:

* `AuthorizationRequired`, or the API's own answer: the grant had ended, and was not
  replaced before the call began.  A grant may end by its user, or by a last resort
  whose cause is a fault of this run.
* `TemporarilyUnavailable`: a fault had touched that account (or everything), and ended
  less than the bound of rule 21 before the call began: "from the moment that provider
  and store are healthy, a living grant yields a fresh token within 2L + G + D +
  back-off".
* `StoreError`: the same, for faults of the store.
* The API's own answer also where rule 20 says so: two tokens in a row that end young,
  by a fault of that very account.
* A worker that was stopped, or got no time to run in, may say any of these to calls
  that it had begun: while it stands still, tokens end, and a call is sent three times.

Anything else is undue, and so is a call that took longer than a waiter may have to
wait, and an account that nobody can use at the end.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "ALL",
    "EXCUSES",
    "PAUSED",
    "SLOW_SAVE",
    "UNAVOIDABLE",
    "Bounds",
    "Call",
    "Case",
    "Ended",
    "Resort",
    "Reuse",
    "Touch",
    "Verdict",
    "judge",
    "touched",
]

ALL = ""
EXCUSES = {
    "kill": "a crash after the provider rotated and before save or spill",
    "kill before the spill": "the same, between the first failed save and the spill",
    "stop before the spill": "as the next",
    "stop": "a holder paused with the new pair in hand, beyond lease and grace",
    "reset-unforwarded": "no answer: the client cannot know",
    "reset-answer": "no answer",
    "cut-answer": "half an answer",
    "swallow-answer": "no answer",
    "html-for-json": "an answer that is none",
    "an answer after X": "a request that the provider processes later than X",
    "status-500": "an answer that does not say what was done",
}
"""What may bring a client to a last resort; anything else is its own doing."""

PAUSED = "paused between the last check and the write"
SLOW_SAVE = "cut off from the store"
UNAVOIDABLE = {
    PAUSED: "longer than the lease: the one schedule in which two processes send it",
    # Another task may use the pair while it is written to the spill: the ledger has
    # seen it used.
    "kill before the spill": "a crash before save or spill",
    "stop before the spill": "as a stop above",
    SLOW_SAVE: "with the new pair in hand, for longer than the grace",
}
"""What excuses a reuse: what no client can save, by the refresh protocol."""

STORE = frozenset(
    {
        *("store-locked", "store-down", "store-deaf"),
        *("store-restarted", "store-frozen", "store-cut"),
    }
)
# Seconds: what is longer ago has not made today's pause.
_LONGEST_PAUSE = 30.0
_GRANT_OVER = frozenset({"AuthorizationRequired", "status"})
_WAIT = frozenset({"TemporarilyUnavailable", "StoreError", "LeaseLost"})
_OF_STORE = frozenset({"StoreError", "LeaseLost"})


@frozen
class Bounds:
    """The times of the refresh protocol, and what else the bound is made of.

    Attributes:
        spell: Seconds of the longest spell of failures: pauses double, so that the
            last one is about as long as all that were before it.

        busy: Seconds for which a store waits for a lock.

        slack: For a slow machine.
    """

    lease: float
    deadline: float
    grace: float
    back_off: float
    spell: float
    busy: float
    slack: float

    @property
    def healing(self) -> float:
        """Rule 21: seconds from the end of one fault to a fresh token."""
        return self.healing_after(1)

    def healing_after(self, faults: int) -> float:
        """The same after some faults in a row, each of which may double the pause."""
        spell = self.back_off + self.spell * 4 / 3
        pause = max(spell, min(self.back_off * 2.0**faults, _LONGEST_PAUSE))
        return 2 * self.lease + self.grace + self.deadline + pause + self.slack

    @property
    def longest_call(self) -> float:
        """Rule 21's wait, twice: a call may be rejected and begin again."""
        wait = self.lease + self.grace + self.deadline
        return 2 * wait + self.busy + self.slack


@frozen
class Touch:
    """A fault was felt from *begin* to *end* by *account*, or `ALL`.

    Attributes:
        slot: Only calls of this worker, which had begun before *end*; None: of all.
    """

    kind: str
    begin: float
    end: float
    account: str = ALL
    slot: int | None = None


@frozen
class Call:
    """A call that was not answered as it should be."""

    slot: int
    account: str
    begin: float
    end: float
    outcome: str
    detail: str = ""
    retry_after: float = 0.0


@frozen
class Ended:
    """A grant had ended at *begin*; *end* is when another was in the store."""

    account: str
    begin: float
    end: float = math.inf


@frozen
class Resort:
    """A refresh token was presented again, excused by *cause*; *due* if we caused it.

    Attributes:
        fatal: It ended the grant.
    """

    account: str
    cause: str
    due: bool
    fatal: bool = False


@frozen
class Reuse:
    """A spent refresh token was presented by worker *slot*: the ledger's reuse.

    Attributes:
        excuse: One of `UNAVOIDABLE`, or "".

        trail: The account's last steps.
    """

    account: str
    at: float
    slot: int
    excuse: str = ""
    trail: tuple[str, ...] = ()


@frozen
class Case:
    """All the evidence.

    Attributes:
        reuse: As counted by the ledger.

        lost: Accounts whose grants ended by a token presented twice, by the ledger.

        living: Accounts with a grant at the end.

        fragile: Accounts at which a lost answer can end the token that comes next.

        answered_last: When each (worker, account) last had an answer.

        began, ended_at: The run; its faults are long over at the end.
    """

    bounds: Bounds
    reuse: int = 0
    reuses: tuple[Reuse, ...] = ()
    lost: tuple[str, ...] = ()
    resorts: tuple[Resort, ...] = ()
    failures: tuple[Call, ...] = ()
    slow: tuple[Call, ...] = ()
    touches: tuple[Touch, ...] = ()
    ended: tuple[Ended, ...] = ()
    living: tuple[str, ...] = ()
    answered_last: Mapping[tuple[int, str], float] = field(factory=dict)
    slots: int = 0
    fragile: frozenset[str] = frozenset()
    began: float = 0.0
    ended_at: float = 0.0
    crashes: tuple[str, ...] = ()


@frozen
class Verdict:
    """What was found; `complaints` is empty if everything was as promised."""

    reuse: int
    lost: int
    undue: tuple[str, ...]
    unexplained: tuple[Call, ...]
    due: Counter[str]
    unavoidable: Counter[str]
    other: tuple[str, ...]

    @property
    def complaints(self) -> list[str]:
        """Every way in which the run was not what was promised."""
        wrong = [f"{self.reuse} refresh tokens were used twice"] * bool(self.reuse)
        wrong += [
            f"{self.lost} grants were lost although a living client had their tokens"
        ] * bool(self.lost)
        return [*wrong, *self.undue, *self.other]


def judge(case: Case) -> Verdict:
    """Weigh *case*."""
    by_account: dict[str, list[Touch]] = {}
    for touch in case.touches:
        by_account.setdefault(touch.account, []).append(touch)
    over: dict[str, list[Ended]] = {}
    for each in case.ended:
        over.setdefault(each.account, []).append(each)
    unexplained, due = [], Counter[str]()
    for call in case.failures:
        felt = [*by_account.get(call.account, ()), *by_account.get(ALL, ())]
        why = _due(call, felt, over.get(call.account, ()), case.bounds)
        if not why and call.account in case.fragile:
            why = _killed_by_its_successor(call, by_account.get(call.account, ()), case)
        if why:
            due[f"{call.outcome}: {why}"] += 1
        else:
            unexplained.append(call)
    unexplained += _too_slow(case)
    unavoidable = Counter(e.excuse for e in case.reuses if e.excuse in UNAVOIDABLE)
    unexcused = [each for each in case.resorts if not each.due]
    fatal = Counter(each.account for each in case.resorts if each.due and each.fatal)
    fatal.update(each.account for each in case.reuses if each.excuse in UNAVOIDABLE)
    lost = Counter(case.lost) - fatal
    other = [
        f"{r.account}: a last resort without a fault: {r.cause}" for r in unexcused
    ]
    other += [*_silent(case), *case.crashes]
    return Verdict(
        reuse=case.reuse - unavoidable.total(),
        lost=lost.total(),
        undue=tuple(_told(call, case) for call in unexplained),
        unexplained=tuple(unexplained),
        due=due,
        unavoidable=unavoidable,
        other=tuple(other),
    )


def touched(call: Call, touches: Iterable[Touch], bounds: Bounds) -> Touch | None:
    """The fault that excuses *call*, if one does."""
    touches = tuple(touches)
    healing = _healing(call, touches, bounds)
    if call.retry_after > healing:
        return None
    for touch in touches:
        if touch.begin > call.end:
            continue
        if touch.slot is not None:
            if touch.slot == call.slot and call.begin <= touch.end:
                return touch
        elif call.begin <= touch.end + healing:
            return touch
    return None


def _healing(call: Call, touches: tuple[Touch, ...], bounds: Bounds) -> float:
    lately = [
        touch
        for touch in touches
        if touch.slot is None
        and touch.begin <= call.end
        and call.begin <= touch.end + _LONGEST_PAUSE
    ]
    return bounds.healing_after(len(lately))


def _due(
    call: Call, touches: Iterable[Touch], over: Iterable[Ended], bounds: Bounds
) -> str:
    """Why *call* was allowed to fail; empty if it was not."""
    if call.outcome in _GRANT_OVER:
        if any(e.begin <= call.end and call.begin <= e.end for e in over):
            return "the grant had ended"
        stood = call.outcome == "status" and any(
            each.slot == call.slot and each.begin <= call.end and call.begin <= each.end
            for each in touches
        )
        return "its worker stood still" if stood else ""
    if call.outcome not in _WAIT:
        return ""
    if call.outcome in _OF_STORE:
        touches = [
            each for each in touches if each.kind in STORE or each.slot is not None
        ]
    touch = touched(call, touches, bounds)
    return touch.kind if touch else ""


def _killed_by_its_successor(call: Call, touches: Iterable[Touch], case: Case) -> str:
    """Two tokens in a row may end young: by an answer that was lost, or came too late.

    Then rule 20 gives the API's own answer to the caller.
    """
    touch = touched(call, touches, case.bounds) if call.outcome == "status" else None
    return f"rule 20 after {touch.kind}" if touch else ""


def _told(call: Call, case: Case) -> str:
    begin, end = call.begin - case.began, call.end - case.began
    return (
        f"undue: worker {call.slot}, {call.account}, from {begin:.2f} to {end:.2f} s: "
        f"{call.outcome}: {call.detail}"
    )


def _too_slow(case: Case) -> list[Call]:
    stops = [touch for touch in case.touches if touch.slot is not None]
    told = []
    for call in case.slow:
        stopped = sum(
            max(0.0, min(call.end, stop.end) - max(call.begin, stop.begin))
            for stop in stops
            if stop.slot == call.slot
        )
        if call.end - call.begin - stopped > case.bounds.longest_call:
            told.append(call)
    return told


def _silent(case: Case) -> list[str]:
    """Accounts that somebody could not use at the end, when all was well again."""
    since = case.ended_at - case.bounds.slack * 2
    return [
        f"{account}: worker {slot} had no answer at the end"
        for account in case.living
        for slot in range(case.slots)
        if case.answered_last.get((slot, account), -math.inf) < since
    ]
