"""``everbearer demo``: the main job, with everything going wrong that may."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click
from attrs import define, field
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from everbearer import Client, Registration
from everbearer.cli._demo_report import judge, table
from everbearer.cli._documents import Documents
from everbearer.providers import BILLIT
from everbearer.sandbox import Sandbox, faults

if TYPE_CHECKING:
    from asyncio.subprocess import Process

    from rich.progress import TaskID

__all__ = ["demo"]

ACCOUNTS = tuple(f"company-{number:02}" for number in range(1, 21))
REVOKED = ACCOUNTS[6]
WORKERS = 4
PAGE_SIZE = 10
PAGES_PER_WORKER = 70
ORDERS = PAGE_SIZE * PAGES_PER_WORKER * WORKERS
PAUSE = 0.5
ACCESS_LIFETIME = 2.0
SPELL = 3.0
LONGEST_RUN = 180.0
CLIENT_SECRET_ENV = "EVERBEARER_DEMO_CLIENT_SECRET"


@click.command()
@click.option(
    "--break",
    "breaking",
    type=click.Choice(["lease"]),
    help="Leave a guard out, and see what it is for: the demo must fail.",
)
def demo(breaking: str | None) -> None:
    """Sync the orders of 20 companies with 4 processes while tokens live 2 seconds.

    Refresh tokens are single-use with reuse detection.  Half way one company revokes
    its grant, the token endpoint answers 503 for a while, the API declares all access
    tokens expired, and one worker is killed with -9 and replaced.  The table is
    printed from the sandbox's ledger.
    """
    failures = asyncio.run(_Demo(breaking or "").run())
    for failure in failures:
        click.echo(f"FAILED: {failure}", err=True)
    sys.exit(1 if failures else 0)


@define
class _Demo:
    breaking: str
    console: Console = field(factory=Console)
    workers: dict[int, Process] = field(factory=dict)

    async def run(self) -> list[str]:
        with tempfile.TemporaryDirectory(prefix="everbearer-demo-") as folder:
            async with Sandbox(
                access_lifetime=ACCESS_LIFETIME, orders_per_account=ORDERS
            ) as sandbox:
                config = _configuration(Path(folder), sandbox, self.breaking)
                await self._connect(sandbox, Path(folder))
                try:
                    await asyncio.wait_for(
                        self._work(sandbox, config), timeout=LONGEST_RUN
                    )
                except TimeoutError:
                    return [f"not done after {LONGEST_RUN:.0f} s"]
                finally:
                    self._stop()
                return self._report(sandbox, Path(folder))

    async def _connect(self, sandbox: Sandbox, folder: Path) -> None:
        """Authorize every account over HTTP, as its user would in a browser."""
        provider = BILLIT.with_hosts(sandbox.url, sandbox.url, sandbox.url)
        registration = Registration(
            provider,
            sandbox.settings.client_id,
            sandbox.settings.client_secret,
            "http://127.0.0.1:8411/callback",
        )
        async with Client(registration, store=_store_url(folder)) as client:
            for account in ACCOUNTS:
                request = await client.authorization.start("billit", account)
                callback = await sandbox.approve(request.url, account)
                await client.authorization.finish(callback, account=account)
        self.console.print(f"connected {len(ACCOUNTS)} companies at {sandbox.url}")

    async def _work(self, sandbox: Sandbox, config: Path) -> None:
        for number in range(WORKERS):
            await self._start(number, config, sandbox)
        expected = len(ACCOUNTS) * ORDERS
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=self.console) as progress:
            bar = progress.add_task("orders", total=expected, note="")
            trouble = asyncio.create_task(self._trouble(sandbox, config))
            while any(worker.returncode is None for worker in self.workers.values()):
                self._show(progress, bar, sandbox)
                await asyncio.sleep(0.2)
            self._show(progress, bar, sandbox)
            await trouble

    def _show(self, progress: Progress, bar: TaskID, sandbox: Sandbox) -> None:
        total = sandbox.ledger.summary()["total"]
        progress.update(
            bar,
            completed=total["documents"],
            note=f"{total['refreshes']} refreshes, {total['reuse']} reuse",
        )

    async def _trouble(self, sandbox: Sandbox, config: Path) -> None:
        """One thing after another goes wrong while the workers work."""
        while sandbox.ledger.summary()["total"]["documents"] < (
            len(ACCOUNTS) * ORDERS * 0.3
        ):
            if all(worker.returncode is not None for worker in self.workers.values()):
                return
            await asyncio.sleep(0.1)
        self.console.print(f"{REVOKED} revokes its grant")
        sandbox.script.revoke(REVOKED)
        await asyncio.sleep(2.0)
        self.console.print(f"token endpoint answers 503 for {SPELL:.0f} s")
        spell = sandbox.script.add(faults.spell(503))
        await asyncio.sleep(SPELL)
        sandbox.script.remove(spell)
        await asyncio.sleep(2.0)
        self.console.print("the API calls every access token expired, before its time")
        sandbox.script.expire_now()
        await asyncio.sleep(2.0)
        victim = self.workers[1]
        if victim.returncode is None:
            self.console.print(f"worker 1 (pid {victim.pid}) is killed with -9")
            victim.send_signal(signal.SIGKILL)
            await victim.wait()
            sandbox.script.killed("worker 1 was killed with -9")
            await self._start(1, config, sandbox)

    async def _start(self, number: int, config: Path, sandbox: Sandbox) -> None:
        self.workers[number] = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "everbearer.cli", "sync", str(config)),
            *("--worker", str(number), "--of", str(WORKERS)),
            env={**os.environ, CLIENT_SECRET_ENV: sandbox.settings.client_secret},
            stdout=asyncio.subprocess.DEVNULL,
        )

    def _stop(self) -> None:
        for worker in self.workers.values():
            if worker.returncode is None:
                worker.kill()

    def _report(self, sandbox: Sandbox, folder: Path) -> list[str]:
        documents = Documents(str(folder / "orders.db"))
        try:
            summary = sandbox.ledger.summary()
            crashed = [
                f"worker {number} ended with {worker.returncode}"
                for number, worker in self.workers.items()
                if worker.returncode != 0
            ]
            self.console.print(table(summary, documents, ORDERS, REVOKED))
            return crashed + judge(
                summary, documents, ACCOUNTS, revoked=REVOKED, orders=ORDERS
            )
        finally:
            documents.close()


def _store_url(folder: Path) -> str:
    return f"sqlite:///{folder / 'tokens.db'}"


def _configuration(folder: Path, sandbox: Sandbox, sabotage: str) -> Path:
    """The file that the workers read; the same form as for real hosts."""
    path = folder / "sync.toml"
    members = {
        "provider": "billit",
        "client_id": sandbox.settings.client_id,
        "client_secret_env": CLIENT_SECRET_ENV,
        "store": _store_url(folder),
        "documents": str(folder / "orders.db"),
        "page_size": PAGE_SIZE,
        "pause": PAUSE,
        "sabotage": sabotage,
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in members.items()]
    url = json.dumps(sandbox.url)
    lines += [
        "[hosts]",
        f"login = {url}",
        f"token = {url}",
        f"api = {url}",
        "[timing]",
        *("lease = 1.0", "deadline = 1.0", "linger = 1.0", "grace = 1.0"),
        *("connect = 1.0", "back_off = 0.5"),
    ]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path
