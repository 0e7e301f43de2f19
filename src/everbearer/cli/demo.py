"""``everbearer demo``: the main job, with everything going wrong that may."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click
from attrs import define, field
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from everbearer import Client, Registration, providers
from everbearer.cli._demo_report import Run, judge, table
from everbearer.cli._documents import Documents
from everbearer.cli._listing import LISTINGS
from everbearer.sandbox import Sandbox, faults

if TYPE_CHECKING:
    from asyncio.subprocess import Process

    from rich.progress import TaskID

__all__ = ["demo"]

PROVIDERS = ("billit", "caminvoice", "flowaccount", "humansoft", "invoiced")
ACCOUNTS_EACH = 4
REVOKED = ("billit", "company-02")
WORKERS = 4
PAGE_SIZE = 10
PAGES_PER_WORKER = 60
ROUNDS = PAGES_PER_WORKER * WORKERS
ORDERS = PAGE_SIZE * ROUNDS
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
    """Sync 20 companies of 5 providers with 4 processes while tokens live 2 seconds.

    Half way one company revokes its grant, the token endpoints answer 503 for a while,
    the APIs declare all access tokens expired, and one worker is killed with -9 and
    replaced.  The tables are printed from the emulated providers' ledgers.
    """
    failures = asyncio.run(_Demo(breaking or "").run())
    for failure in failures:
        click.echo(f"FAILED: {failure}", err=True)
    sys.exit(1 if failures else 0)


@define
class _Demo:
    breaking: str
    console: Console = field(factory=Console)
    sandboxes: dict[str, Sandbox] = field(factory=dict)
    configs: list[Path] = field(factory=list)
    workers: dict[int, Process] = field(factory=dict)

    async def run(self) -> list[str]:
        with tempfile.TemporaryDirectory(prefix="everbearer-demo-") as name:
            folder = Path(name)
            async with AsyncExitStack() as stack:
                for provider in PROVIDERS:
                    self.sandboxes[provider] = await stack.enter_async_context(
                        Sandbox(
                            provider,
                            access_lifetime=ACCESS_LIFETIME,
                            orders_per_account=ORDERS,
                        )
                    )
                await self._connect(folder)
                try:
                    await asyncio.wait_for(self._work(), timeout=LONGEST_RUN)
                except TimeoutError:
                    return [f"not done after {LONGEST_RUN:.0f} s"]
                finally:
                    self._stop()
                return self._report(folder)

    async def _connect(self, folder: Path) -> None:
        """Authorize every account over HTTP, as its user would in a browser."""
        registrations = [
            Registration(
                getattr(providers, name.upper()).with_hosts(
                    sandbox.login_url, sandbox.token_url, sandbox.api_url
                ),
                sandbox.settings.client_id,
                sandbox.settings.client_secret,
                "http://127.0.0.1:8411/callback",
            )
            for name, sandbox in self.sandboxes.items()
        ]
        async with Client(*registrations, store=_store_url(folder)) as client:
            for name, sandbox in self.sandboxes.items():
                self.configs.append(
                    _configuration(folder, name, sandbox, self.breaking)
                )
                for account in _accounts(name):
                    request = await client.authorization.start(name, account)
                    callback = await sandbox.approve(request.url, account)
                    await client.authorization.finish(
                        callback, state=request.state, account=account
                    )
                self.console.print(
                    f"connected {ACCOUNTS_EACH} companies to {sandbox.title} "
                    f"at {sandbox.url}"
                )

    async def _work(self) -> None:
        for number in range(WORKERS):
            await self._start(number)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=self.console) as progress:
            bars = {
                name: progress.add_task(
                    sandbox.title, total=ACCOUNTS_EACH * _answers(name), note=""
                )
                for name, sandbox in self.sandboxes.items()
            }
            trouble = asyncio.create_task(self._trouble())
            while any(worker.returncode is None for worker in self.workers.values()):
                self._show(progress, bars)
                await asyncio.sleep(0.2)
            self._show(progress, bars)
            await trouble

    def _show(self, progress: Progress, bars: dict[str, TaskID]) -> None:
        for name, bar in bars.items():
            total = self.sandboxes[name].ledger.total
            progress.update(
                bar,
                completed=total.documents,
                note=f"{total.refreshes} refreshes, {total.reuse} reuse",
            )

    async def _trouble(self) -> None:
        """One thing after another goes wrong while the workers work."""
        provider, company = REVOKED
        ledger = self.sandboxes[provider].ledger
        while ledger.documents < ACCOUNTS_EACH * ORDERS * 0.3:
            if all(worker.returncode is not None for worker in self.workers.values()):
                return
            await asyncio.sleep(0.1)
        self.console.print(f"{company} revokes its grant at {provider}")
        self.sandboxes[provider].script.revoke(company)
        await asyncio.sleep(2.0)
        self.console.print(f"the token endpoints answer 503 for {SPELL:.0f} s")
        spells = [
            (sandbox.script, sandbox.script.add(faults.spell(503)))
            for sandbox in self.sandboxes.values()
        ]
        await asyncio.sleep(SPELL)
        for script, spell in spells:
            script.remove(spell)
        await asyncio.sleep(2.0)
        self.console.print("the APIs call all access tokens expired, before their time")
        for sandbox in self.sandboxes.values():
            sandbox.script.expire_now()
        await asyncio.sleep(2.0)
        await self._kill(self.workers[1])

    async def _kill(self, victim: Process) -> None:
        if victim.returncode is not None:
            return
        self.console.print(f"worker 1 (pid {victim.pid}) is killed with -9")
        victim.send_signal(signal.SIGKILL)
        await victim.wait()
        for sandbox in self.sandboxes.values():
            sandbox.script.killed("worker 1 was killed with -9")
        await self._start(1)

    async def _start(self, number: int) -> None:
        secret = self.sandboxes["billit"].settings.client_secret
        self.workers[number] = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "everbearer.cli", "sync", *map(str, self.configs)),
            *("--worker", str(number), "--of", str(WORKERS)),
            env={**os.environ, CLIENT_SECRET_ENV: secret},
            stdout=asyncio.subprocess.DEVNULL,
        )

    def _stop(self) -> None:
        for worker in self.workers.values():
            if worker.returncode is None:
                worker.kill()

    def _report(self, folder: Path) -> list[str]:
        documents = Documents(str(folder / "orders.db"))
        runs = [
            Run(
                name,
                sandbox.title,
                sandbox.ledger.summary(),
                _accounts(name),
                _documents(name),
            )
            for name, sandbox in self.sandboxes.items()
        ]
        try:
            for run in runs:
                self.console.print(table(run, documents))
            self.console.print(
                f"{'/'.join(REVOKED)} withdrew its grant half way, and alone asks for "
                "its user"
            )
            crashed = [
                f"worker {number} ended with {worker.returncode}"
                for number, worker in self.workers.items()
                if worker.returncode != 0
            ]
            return crashed + judge(runs, documents, "/".join(REVOKED))
        finally:
            documents.close()


def _accounts(provider: str) -> list[str]:
    """The companies of *provider*: company-01 to -04 of the first, and so on."""
    first = PROVIDERS.index(provider) * ACCOUNTS_EACH + 1
    return [f"company-{first + number:02}" for number in range(ACCOUNTS_EACH)]


def _documents(provider: str) -> int:
    """How many documents each of its companies has."""
    return ORDERS if LISTINGS[provider].size else 1


def _answers(provider: str) -> int:
    """How many documents the API serves; one is looked at again and again."""
    return ORDERS if LISTINGS[provider].size else ROUNDS


def _store_url(folder: Path) -> str:
    return f"sqlite:///{folder / 'tokens.db'}"


def _configuration(folder: Path, name: str, sandbox: Sandbox, sabotage: str) -> Path:
    """The file that the workers read; the same form as for real hosts."""
    path = folder / f"{name}.toml"
    members = {
        "provider": name,
        "client_id": sandbox.settings.client_id,
        "client_secret_env": CLIENT_SECRET_ENV,
        "store": _store_url(folder),
        "documents": str(folder / "orders.db"),
        "page_size": PAGE_SIZE,
        "rounds": ROUNDS,
        "pause": PAUSE,
        "sabotage": sabotage,
    }
    lines = [f"{member} = {json.dumps(value)}" for member, value in members.items()]
    lines += [
        "[hosts]",
        f"login = {json.dumps(sandbox.login_url)}",
        f"token = {json.dumps(sandbox.token_url)}",
        f"api = {json.dumps(sandbox.api_url)}",
        "[timing]",
        *("lease = 1.0", "deadline = 1.0", "linger = 1.0", "grace = 1.0"),
        *("connect = 1.0", "back_off = 0.5"),
    ]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path
