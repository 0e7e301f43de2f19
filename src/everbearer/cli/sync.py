"""``everbearer sync``: one worker of a pool that copies every account's documents."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import click

from everbearer import (
    AuthorizationRequired,
    Client,
    ConfigurationError,
    StoreError,
    TemporarilyUnavailable,
)
from everbearer.cli._documents import Documents
from everbearer.cli._sync_config import SyncConfig
from everbearer.cli._unleased import without_leases
from everbearer.stores import open_store

if TYPE_CHECKING:
    from everbearer import AccountSession
    from everbearer.stores import TokenStore

__all__ = ["sync"]

_log = logging.getLogger("everbearer.cli.sync")


@click.command()
@click.argument(
    "configs",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    nargs=-1,
    required=True,
)
@click.option("--worker", default=0, help="Number of this worker, from 0.")
@click.option("--of", "workers", default=1, help="How many workers share the pages.")
@click.option("--verbose", is_flag=True, help="Log at DEBUG.")
def sync(
    configs: tuple[Path, ...], worker: int, workers: int, *, verbose: bool
) -> None:
    """Copy the documents of all connected accounts into a SQLite file.

    CONFIGS are TOML files, one for each provider.  Page n of every account is the
    business of worker n modulo the number of workers; pages that are in the file
    already are skipped, so a worker that died is replaced by starting it again.
    """
    if not 0 <= worker < workers:
        raise click.BadParameter("--worker counts from 0 to below --of")
    # What is said at WARNING names the account itself.
    whose = " %(provider)s/%(account)s" if verbose else ""
    handler = logging.StreamHandler()
    handler.setFormatter(
        logging.Formatter(
            f"%(asctime)s %(levelname)s worker {worker}{whose}: %(message)s",
            defaults={"provider": "", "account": ""},
        )
    )
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.WARNING, handlers=[handler]
    )
    asyncio.run(_sync([SyncConfig.read(each) for each in configs], worker, workers))


async def _sync(configs: list[SyncConfig], number: int, of: int) -> None:
    async with asyncio.TaskGroup() as group:
        for config in configs:
            group.create_task(_Worker(config, number, of).run())


class _Worker:
    def __init__(self, config: SyncConfig, number: int, of: int) -> None:
        self._config = config
        self._number = number
        self._of = of
        self._registration = config.registration()
        self._listing = config.documents_list()
        self._documents = Documents(config.documents)

    async def run(self) -> None:
        store: str | TokenStore = self._config.store
        if self._config.sabotage == "lease":
            store = without_leases(open_store(self._config.store))
        async with Client(
            self._registration, store=store, timing=self._config.timing
        ) as client:
            name = self._registration.name
            accounts = [status.account async for status in client.accounts(name)]
            if not accounts:
                raise ConfigurationError(
                    f"no account of {name!r} is connected in {self._config.store}: "
                    "connect one with client.authorization first"
                )
            async with asyncio.TaskGroup() as group:
                for account in accounts:
                    group.create_task(self._account(client.session(name, account)))
        arrivals = self._documents.arrivals()
        self._documents.close()
        count = sum(count for count, _ in arrivals.values())
        click.echo(
            f"{count} documents of {len(arrivals)} accounts are in "
            f"{self._config.documents}"
        )

    async def _account(self, session: AccountSession) -> None:
        """All of this worker's pages of one account."""
        account = "/".join(session.key)
        last = 10**9 if self._listing.size else self._config.rounds
        for page in range(self._number, last, self._of):
            if await self._documents.has_page(account, page):
                continue
            ids = await self._page(session, page)
            if not ids:
                return
            # One document that is looked at again has not arrived again.
            new = ids if self._listing.size or page == 0 else []
            await self._documents.add(account, page, new)
            await asyncio.sleep(self._config.pause)

    async def _page(self, session: AccountSession, page: int) -> list[str]:
        """The ids on one page of documents; an empty list is the end of them.

        What the SDK raises is dealt with here, as any caller would: wait where it
        says to wait, give up where the user must act.
        """
        account = "/".join(session.key)
        size = self._config.page_size or self._listing.largest
        while True:
            try:
                async with session.get(
                    self._listing.path,
                    params=self._listing.query(page, size),
                    raise_for_status=True,
                ) as response:
                    return self._listing.ids(await response.json())
            except TemporarilyUnavailable as wait:
                await self._documents.note(account, "waited", str(wait))
                await asyncio.sleep(wait.retry_after)
            except AuthorizationRequired as required:
                await self._documents.note(account, "needs_user", required.reason)
                return []
            except (ConfigurationError, StoreError):
                raise  # Aiohttp's too, but nothing that trying again would mend.
            except (aiohttp.ClientError, TimeoutError) as error:
                _log.warning(
                    "%s/%s: call failed, and is tried again: %s",
                    *session.key,
                    type(error).__name__,
                    extra=session.key._asdict(),
                )
                await self._documents.note(account, "failed", type(error).__name__)
                await asyncio.sleep(1.0)
