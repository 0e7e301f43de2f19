"""The demo's verdict, and the demo with a guard left out."""

from __future__ import annotations

import subprocess
import sys

import pytest

from everbearer.cli._demo_report import Run, judge
from everbearer.cli._documents import Documents

ACCOUNTS = ("company-01", "company-02")


def summary(**changes: int) -> dict[str, object]:
    """A ledger in which all went well, but for *changes* to its totals."""
    figures = {"refreshes": 12, "reuse": 0, "lost_grants": 0}
    return {
        "total": {**figures, **changes},
        "companies": {account: dict(figures) for account in ACCOUNTS},
    }


@pytest.fixture
def documents(tmp_path):
    """What the workers brought: everything of company-01, half of company-02."""
    found = Documents(str(tmp_path / "orders.db"))
    with found._connection as db:
        db.executemany(
            "insert into documents values (?, ?, 1)",
            [("billit/company-01", str(n)) for n in range(4)]
            + [("billit/company-02", str(n)) for n in range(2)],
        )
        db.execute(
            "insert into notes values ('billit/company-02', 'needs_user', 'revoked')"
        )
    yield found
    found.close()


def verdict(documents, found=None, **changes) -> list[str]:
    """What is wrong with that run."""
    run = Run("billit", "Billit", found or summary(**changes), ACCOUNTS, 4)
    return judge([run], documents, "billit/company-02")


def test_a_good_run_passes(documents) -> None:
    """Everything arrived once, and only the revoked account asks for its user."""
    assert verdict(documents) == []


@pytest.mark.parametrize("name", ["reuse", "lost_grants"])
def test_a_token_spent_twice_fails_it(documents, name) -> None:
    """One is too many."""
    assert verdict(documents, **{name: 1}) == [f"billit: {name} is 1, not 0"]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        pytest.param(
            "delete from documents where id = '3'",
            "billit/company-01: 3 of 4 documents arrived",
            id="lost-document",
        ),
        pytest.param(
            "update documents set arrivals = 2 where id = '3'",
            "billit/company-01: 1 documents arrived more than once",
            id="document-twice",
        ),
        pytest.param(
            "insert into notes values ('billit/company-01', 'failed', 'TimeoutError')",
            "billit/company-01: 1 calls failed",
            id="failed-call",
        ),
        pytest.param(
            "insert into notes values ('billit/company-01', 'needs_user', 'refused')",
            "these ask for their user: ['billit/company-01', 'billit/company-02'], "
            "not just billit/company-02",
            id="another-asks-for-its-user",
        ),
        pytest.param(
            "delete from notes",
            "these ask for their user: [], not just billit/company-02",
            id="revocation-not-noticed",
        ),
    ],
)
def test_what_the_workers_saw_fails_it(documents, change, complaint) -> None:
    """Each way in which a caller may have been let down."""
    with documents._connection as db:
        db.execute(change)
    assert verdict(documents) == [complaint]


def test_too_few_refreshes_show_nothing(documents) -> None:
    """A run in which tokens hardly ever expired proves nothing."""
    found = summary()
    found["companies"]["company-01"]["refreshes"] = 9
    complaints = verdict(documents, found)
    assert complaints == ["billit/company-01: only 9 refreshes"]


@pytest.mark.timeout(240)
def test_the_demo_fails_without_a_lease() -> None:
    """The demo is no theatre: leave the lease out, and grants are lost."""
    ended = subprocess.run(
        [sys.executable, "-m", "everbearer.cli", "demo", "--break", "lease"],
        capture_output=True,
        text=True,
        timeout=230,
        check=False,
    )
    assert ended.returncode == 1
    for name in ("billit", "flowaccount", "humansoft", "invoiced"):
        assert f"FAILED: {name}: reuse is " in ended.stderr
        assert f"FAILED: {name}: lost_grants is " in ended.stderr
    assert "Traceback" not in ended.stderr
