"""The demo's table and verdict, from the sandbox's ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from everbearer.cli._documents import Documents

__all__ = ["judge", "table"]

LEAST_REFRESHES = 10
_COLUMNS = (
    ("calls", "calls"),
    ("401s", "unauthorized"),
    ("refreshes", "refreshes"),
    ("reuse", "reuse"),
    ("last\nresorts", "last_resorts"),
    ("lost\ngrants", "lost_grants"),
)


def table(
    summary: dict[str, Any], documents: Documents, orders: int, revoked: str
) -> Table:
    """A row for each company, and their sum.

    The figures are the sandbox's, but for two that no server can know: the documents
    that are in the workers' database, and the calls that failed for them.
    """
    arrivals = documents.arrivals()
    failed = documents.notes("failed")
    shown = Table(
        title="what the sandbox's ledger says",
        caption=f"{revoked} withdrew its grant half way, and alone asks for its user",
        box=SIMPLE,
        pad_edge=False,
        collapse_padding=True,
    )
    shown.add_column("company", no_wrap=True)
    titles = ("documents\nof all", *(title for title, _ in _COLUMNS), "failed\ncalls")
    for title in titles:
        shown.add_column(title, justify="right", no_wrap=True)
    for company, row in sorted(summary["companies"].items()):
        shown.add_row(
            company,
            f"{arrivals.get(company, (0, 0))[0]}/{orders}",
            *(str(row[name]) for _, name in _COLUMNS),
            str(failed.get(company, 0)),
        )
    shown.add_section()
    shown.add_row(
        "all",
        f"{sum(count for count, _ in arrivals.values())}"
        f"/{orders * len(summary['companies'])}",
        *(str(summary["total"][name]) for _, name in _COLUMNS),
        str(sum(failed.values())),
    )
    return shown


def judge(
    summary: dict[str, Any],
    documents: Documents,
    accounts: Iterable[str],
    *,
    revoked: str,
    orders: int,
) -> list[str]:
    """Every way in which the run was not what was promised."""
    arrivals, failed = documents.arrivals(), documents.notes("failed")
    asking = set(documents.notes("needs_user"))
    wrong = []
    for account in accounts:
        count, odd = arrivals.get(account, (0, 0))
        if account != revoked and count != orders:
            wrong.append(f"{account}: {count} of {orders} documents arrived")
        if odd:
            wrong.append(f"{account}: {odd} documents arrived more than once")
        refreshes = summary["companies"][account]["refreshes"]
        if account != revoked and refreshes < LEAST_REFRESHES:
            wrong.append(f"{account}: only {refreshes} refreshes")
    wrong += [
        f"{name} is {summary['total'][name]}, not 0"
        for name in ("reuse", "lost_grants")
        if summary["total"][name]
    ]
    wrong += [f"{account}: {n} calls failed" for account, n in failed.items()]
    if asking != {revoked}:
        wrong.append(f"these ask for their user: {sorted(asking)}, not just {revoked}")
    return wrong
