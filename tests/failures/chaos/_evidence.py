"""What is seen during a run: what workers say, and what was done to them."""

from __future__ import annotations

import time
from collections import Counter, defaultdict, deque
from typing import Any

from attrs import define, evolve, field
from tests.failures.chaos._judge import (
    ALL,
    PAUSED,
    SLOW_SAVE,
    Bounds,
    Call,
    Reuse,
    Touch,
)

__all__ = ["Evidence"]

_AT_ONCE = 0.05
_STALL = 0.5
_TRAIL = 20


@define(eq=False)
class Evidence:
    """For the judge and for the table; lists of what was wrong, counts of the rest.

    Attributes:
        strict: Answered calls that no fault near them would have excused.

        again: Refresh tokens that a worker says it presents once more, by attempt.

        led_to: Trails, as they were then, of the rare failures that are the API's own.

        slow_saves: New tokens that took long to store, or whose worker was killed
            meanwhile.

        store_troubled: Until when the store was; inf while it is.

        stopped: Workers that are, now.

        unsaved: By worker, accounts whose new tokens it could not store.

        spilled: The same, once the token is in a file that the next process finds.

        settled: When (worker, account) last knew what became of such a token, or of one
            that another was stored before.
    """

    bounds: Bounds
    began: float = 0.0
    calls: int = 0
    strict: int = 0
    takeovers: int = 0
    faults: Counter[str] = field(factory=Counter)
    again: Counter[str] = field(factory=Counter)
    failures: list[Call] = field(factory=list)
    slow: list[Call] = field(factory=list)
    led_to: dict[Call, tuple[str, ...]] = field(factory=dict)
    touches: list[Touch] = field(factory=list)
    slow_saves: list[Touch] = field(factory=list)
    stopped: defaultdict[int, bool] = field(factory=lambda: defaultdict(bool))
    reuses: list[Reuse] = field(factory=list)
    unsaved: defaultdict[int, set[str]] = field(factory=lambda: defaultdict(set))
    spilled: defaultdict[int, set[str]] = field(factory=lambda: defaultdict(set))
    settled: dict[tuple[int, str], float] = field(factory=dict)
    answered_last: dict[tuple[int, str], float] = field(factory=dict)
    store_troubled: float = 0.0
    longest_stall: float = 0.0
    worker_mb: float = 0.0
    _checked: dict[tuple[int, str], float] = field(factory=dict)
    _saving: dict[tuple[int, str], float] = field(factory=dict)
    _excused_until: dict[str, float] = field(factory=dict)
    _went_on: dict[int, float] = field(factory=dict)
    _trails: defaultdict[str, deque[tuple[float, str]]] = field(
        factory=lambda: defaultdict(lambda: deque(maxlen=_TRAIL))
    )

    # ---- what was done

    def touch(self, touch: Touch) -> None:
        """A fault was felt."""
        if touch.account == ALL:
            whom = "all" if touch.slot is None else f"worker {touch.slot}"
            self.note(ALL, f"{touch.kind} of {whom}, {touch.end - touch.begin:.2f} s")
        self.touches.append(touch)
        if touch.slot is None:
            until = max(self._excused_until.get(touch.account, 0.0), touch.end)
            self._excused_until[touch.account] = until
        else:
            self._went_on[touch.slot] = touch.end

    def note(self, account: str, what: str) -> None:
        """Remember the last steps of each account, for whoever asks how it came."""
        self._trails[account].append((time.monotonic() - self.began, what))

    def felt(self, kind: str, account: str, begin: float, end: float) -> None:
        """A fault of the token endpoint took place."""
        self.faults[kind] += 1
        self.touch(Touch(kind, begin, end, account))

    def reused(self, account: str, slot: int, began: float, excuse: str) -> None:
        """The ledger has counted a reuse, by this worker."""
        checked = self._checked.get((slot, account), 0.0)
        paused = any(
            stop.begin <= checked + _AT_ONCE
            and checked < stop.end <= began + _AT_ONCE
            and stop.end - stop.begin >= self.bounds.lease * 2 / 3
            for stop in self.touches
            if stop.slot == slot and stop.kind == "stop"
        )
        why = PAUSED if paused else excuse
        self.note(account, f"worker {slot}: that was a reuse")
        self.reuses.append(Reuse(account, began, slot, why, self.trail(account)))

    def told(self) -> tuple[Reuse, ...]:
        """The reuses, with what is known of them at the end."""
        for slot, _ in tuple(self._saving):
            self.died(slot)
        return tuple(
            evolve(each, excuse=SLOW_SAVE)
            if not each.excuse and any(self._cut_off(each, t) for t in self.slow_saves)
            else each
            for each in self.reuses
        )

    def _cut_off(self, reuse: Reuse, save: Touch) -> bool:
        """Whether the pair was in somebody's hand, who could not store it in time."""
        return (
            save.account == reuse.account
            and save.begin <= reuse.at <= save.end + self.bounds.slack
        )

    def trail(self, account: str) -> tuple[str, ...]:
        """The last steps of *account*, for a reader."""
        steps = sorted({*self._trails[account], *self._trails[ALL]})[-_TRAIL:]
        return tuple(f"{at:.3f} {what}" for at, what in steps)

    # ---- what workers say

    def heard(self, slot: int, said: dict[str, Any]) -> None:
        """One line of worker *slot*."""
        what, at = said.pop("what"), said.pop("at")
        match what:
            case "answered":
                for name, (count, last) in said["calls"].items():
                    self._answered(slot, name, count, last)
            case "failed":
                self.calls += 1
                call = Call(slot=slot, **said)
                self.failures.append(call)
                if call.outcome == "status":
                    self.led_to[call] = self.trail(call.account)
            case "slow":
                self.slow.append(Call(slot=slot, **said))
            case "lag":
                self._lagged(slot, at, said["seconds"])
            case "store":
                self._slow_store(slot, at, said)
            case "saving" | "saved":
                self._save(slot, what, at, said["account"])
            case "memory":
                self.worker_mb = max(self.worker_mb, said["mb"])
            case _:
                self._step(slot, what, at, said)

    def _save(self, slot: int, what: str, at: float, account: str) -> None:
        """A worker begins to store a new token, or is done, with or without success."""
        begin = self._saving.pop((slot, account), at)
        if what == "saving":
            self._saving[slot, account] = at
        elif at - begin >= self.bounds.grace * 2 / 3:
            self.slow_saves.append(Touch("slow save", begin, at, account))

    def died(self, slot: int) -> None:
        """What worker *slot* was storing it will never be done with."""
        for each, account in tuple(self._saving):
            if each == slot:
                self._save(slot, "saved", time.monotonic(), account)

    def _step(self, slot: int, what: str, at: float, said: dict[str, Any]) -> None:
        account = said["account"]
        self.note(account, f"worker {slot}: {what} {said.get('attempt', '')}".strip())
        match what:
            case "checked":
                self._checked[slot, account] = at
            case "takeover":
                self.takeovers += 1
            case "unsaved":
                self.unsaved[slot].add(account)
            case "spilled":
                self.faults["(spilled)"] += 1
                self.spilled[slot].add(account)
            case "settled":
                self.settled[slot, account] = at
                self.unsaved[slot].discard(account)
                self.spilled[slot].discard(account)
            case "again":
                self.again[said["attempt"]] += 1

    def _answered(self, slot: int, account: str, count: int, last: float) -> None:
        self.calls += count
        self.answered_last[slot, account] = last
        until = max(self._excused_until.get(name, 0.0) for name in (account, ALL))
        if last > until + self.bounds.healing:
            self.strict += count

    def _lagged(self, slot: int, at: float, seconds: float) -> None:
        """A process got no time to run in, and nobody had stopped it."""
        if not self.stopped[slot] and at - seconds > self._went_on.get(slot, 0.0) + 1.0:
            self.stalled(at - seconds, at, slot)

    def _slow_store(self, slot: int, at: float, said: dict[str, Any]) -> None:
        """A call of the store took long: for a lock, or a disk, or a stop."""
        begin = at - said["seconds"]
        by_itself = begin > max(self._went_on.get(slot, 0.0), self.store_troubled)
        if by_itself and not self.stopped[slot]:
            self.stalled(begin, at)

    def stalled(self, begin: float, end: float, slot: int | None = None) -> None:
        """The machine was slow: for worker *slot*, or for the run itself."""
        self.longest_stall = max(self.longest_stall, end - begin)
        if end - begin >= _STALL:
            self.faults["(slow machine)"] += 1
            self.touch(Touch("slow machine", begin, end, slot=slot))
