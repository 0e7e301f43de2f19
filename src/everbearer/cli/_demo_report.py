"""The demo's tables and verdict, from the sandboxes' ledgers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import frozen
from rich.box import SIMPLE
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from everbearer.cli._documents import Documents

__all__ = ["Run", "judge", "table"]

LEAST_REFRESHES = 10
_COLUMNS = (
    ("calls", "calls"),
    ("401s", "unauthorized"),
    ("refreshes", "refreshes"),
    ("reuse", "reuse"),
    ("last\nresorts", "last_resorts"),
    ("lost\ngrants", "lost_grants"),
)


@frozen
class Run:
    """What happened at one provider.

    Attributes:
        provider: Its name.

        title: As people write it.

        summary: Of its ledger.

        accounts: Its companies.

        documents: How many each of them has.
    """

    provider: str
    title: str
    summary: dict[str, Any]
    accounts: Sequence[str]
    documents: int

    def key(self, account: str) -> str:
        """Under which *account* is kept by the workers."""
        return f"{self.provider}/{account}"


def table(run: Run, documents: Documents) -> Table:
    """A row for each company, and their sum.

    The figures are the sandbox's, but for two that no server can know: the documents
    that are in the workers' database, and the calls that failed for them.
    """
    arrivals, failed = documents.arrivals(), documents.notes("failed")
    shown = Table(
        title=f"what {run.title}'s ledger says",
        box=SIMPLE,
        pad_edge=False,
        collapse_padding=True,
    )
    shown.add_column("company", no_wrap=True)
    titles = ("documents\nof all", *(title for title, _ in _COLUMNS), "failed\ncalls")
    for title in titles:
        shown.add_column(title, justify="right", no_wrap=True)
    arrived = {each: arrivals.get(run.key(each), (0, 0))[0] for each in run.accounts}
    failures = {each: failed.get(run.key(each), 0) for each in run.accounts}
    for company in run.accounts:
        row = run.summary["companies"][company]
        shown.add_row(
            company,
            f"{arrived[company]}/{run.documents}",
            *(str(row[name]) for _, name in _COLUMNS),
            str(failures[company]),
        )
    shown.add_section()
    shown.add_row(
        "all",
        f"{sum(arrived.values())}/{run.documents * len(run.accounts)}",
        *(str(run.summary["total"][name]) for _, name in _COLUMNS),
        str(sum(failures.values())),
    )
    return shown


def judge(runs: Iterable[Run], documents: Documents, revoked: str) -> list[str]:
    """Every way in which the whole was not what was promised."""
    wrong = [complaint for run in runs for complaint in _of(run, documents, revoked)]
    wrong += [
        f"{account}: {n} calls failed"
        for account, n in documents.notes("failed").items()
    ]
    asking = set(documents.notes("needs_user"))
    if asking != {revoked}:
        wrong.append(f"these ask for their user: {sorted(asking)}, not just {revoked}")
    return wrong


def _of(run: Run, documents: Documents, revoked: str) -> list[str]:
    arrivals, wrong = documents.arrivals(), []
    for account in run.accounts:
        key = run.key(account)
        count, odd = arrivals.get(key, (0, 0))
        if key != revoked and count != run.documents:
            wrong.append(f"{key}: {count} of {run.documents} documents arrived")
        if odd:
            wrong.append(f"{key}: {odd} documents arrived more than once")
        refreshes = run.summary["companies"][account]["refreshes"]
        if key != revoked and refreshes < LEAST_REFRESHES:
            wrong.append(f"{key}: only {refreshes} refreshes")
    wrong += [
        f"{run.provider}: {name} is {run.summary['total'][name]}, not 0"
        for name in ("reuse", "lost_grants")
        if run.summary["total"][name]
    ]
    return wrong
