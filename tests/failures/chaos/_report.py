"""The table at the end of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.failures.chaos._judge import Case, Verdict
    from tests.failures.chaos._run import Run

__all__ = ["report"]

_MOST_TOLD = 20
_MOST_TRAILS = 5


def report(run: Run, case: Case, verdict: Verdict) -> str:
    """Every figure, and how to see it again."""
    return "\n".join(_lines(run, case, verdict))


def _lines(run: Run, case: Case, verdict: Verdict) -> Iterator[str]:
    seen = run.evidence
    ledgers = [sandbox.ledger for sandbox in run.sandboxes.values()]
    figures = {
        "workers": run.workers,
        "accounts": run.accounts_each * len(run.sandboxes),
        "calls": seen.calls,
        "  with no fault near that would excuse a failure": seen.strict,
        "refreshes": sum(ledger.refreshes for ledger in ledgers),
        "replays in a window": sum(ledger.replays for ledger in ledgers),
        "takeovers": seen.takeovers,
        "last resorts": len(case.resorts),
        "grants that ended": len(case.ended),
        "reuse": verdict.reuse,
        "lost although a living client had the tokens": verdict.lost,
        "undue failures": len(verdict.undue),
        "due failures": verdict.due.total(),
        "reuse that no client can avoid": verdict.unavoidable.total(),
    }
    yield f"chaos, {run.store}, seed {run.seed}, {run.seconds:.0f} s"
    yield from (f"{value:>9,}  {name}" for name, value in figures.items())
    yield from _table("faults", seen.faults)
    yield from _table("last resorts, by cause", Counter(r.cause for r in case.resorts))
    yield from _table("reuse that no client can avoid", verdict.unavoidable)
    yield from _table("due failures, by what excused them", verdict.due)
    untold = {each.account: each for each in reversed(verdict.unexplained)}
    for account, call in sorted(untold.items())[:_MOST_TRAILS]:
        yield f"the last steps of {account}:"
        steps = seen.led_to.get(call) or seen.trail(account)
        yield from (f"    {step}" for step in steps)
    for resort in (each for each in case.resorts if not each.due):
        yield f"the last steps of {resort.account}:"
        yield from (f"    {step}" for step in seen.trail(resort.account))
    yield (
        f"longest stall of the machine {seen.longest_stall:.2f} s, "
        f"peak memory {run.peak_mb:.0f} MB, of a worker {seen.worker_mb:.0f} MB"
    )
    for reuse in case.reuses:
        excuse = reuse.excuse or "no excuse"
        yield f"how worker {reuse.slot} used a token of {reuse.account} again: {excuse}"
        yield from (f"    {step}" for step in reuse.trail)
    complaints = verdict.complaints
    yield from (f"FAILED: {each}" for each in complaints[:_MOST_TOLD])
    if len(complaints) > _MOST_TOLD:
        yield f"FAILED: and {len(complaints) - _MOST_TOLD} more"
    if complaints:
        options = {
            "--store": run.store,
            "--seed": run.seed,
            "--seconds": f"{run.seconds:.0f}",
            "--workers": run.workers,
            "--accounts": run.accounts_each,
            "--providers": " ".join(run.families),
        }
        yield "again: " + " ".join(f"{name} {value}" for name, value in options.items())


def _table(title: str, counts: Counter[str]) -> Iterator[str]:
    if counts:
        yield f"{title}:"
        yield from (f"{n:>9,}  {name}" for name, n in counts.most_common())
