"""``everbearer store``: what an operator does to a token store."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from attrs import frozen

from everbearer.cli._registration_config import read_config
from everbearer.errors import EverbearerError
from everbearer.stores import (
    Doubt,
    Pace,
    Resealing,
    doubt,
    open_store,
    reseal,
    sealed_in,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from everbearer.stores import SealedRecords, TokenStore

__all__ = ["store"]


@frozen
class _StoreConfig:
    """What every configuration file says of its store."""

    store: str


_where = click.argument("where", envvar="EVERBEARER_STORE", metavar="STORE")


@click.group()
def store() -> None:
    """Make a token store, change its key, put a backup back.

    STORE is a URL, or a TOML file in which `store` is one, as for `everbearer keep`; by
    default what EVERBEARER_STORE says.  The keys are those of EVERBEARER_KEYS, or of
    the file beside a SQLite database.
    """


@store.command()
@_where
def init(where: str) -> None:
    """Make or migrate the tables, or look whether the server will do.

    A release that is about to be rolled out does it, with rights that the programs
    which use the store need not have.  The release before works on with what it makes.
    """
    asyncio.run(_init(where))


@store.command("reseal")
@_where
def reseal_(where: str) -> None:
    """Seal everything anew with the first of the keys.

    Programs may use the store meanwhile, if all of them have that key.  Interrupted, it
    goes on where it was when it is called again.  No token changes.
    """
    _tell(asyncio.run(_reseal(where)))


@store.command()
@_where
@click.option(
    "--provider",
    "providers",
    multiple=True,
    metavar="NAME",
    help="Only accounts of this registration; may be given several times.",
)
@click.option(
    "--first",
    type=click.IntRange(min=0),
    default=5,
    show_default=True,
    help="How many accounts of each provider may be tried at once.",
)
@click.option(
    "--pause",
    type=click.FloatRange(min=0),
    default=600.0,
    show_default=True,
    help="Seconds before all others may be.",
)
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="How many of those a second.",
)
@click.option(
    "--again", is_flag=True, help="Another pace, for what has not been tried yet."
)
def restored(
    where: str,
    *,
    providers: tuple[str, ...],
    first: int,
    pause: float,
    rate: float,
    again: bool,
) -> None:
    """Mark all refresh tokens as perhaps spent, after a backup was put back.

    Call it before anybody uses the store.  Nothing is sent.  From then on each account
    uses its access token while it lives, and then presents its refresh token once, as
    a last resort: a few accounts at once, all others later and slowly.  Interrupted, it
    is called again.
    """
    pace = Pace(first, pause, rate)
    _tell(asyncio.run(_restored(where, providers, pace, again=again)))


def _tell(troubles: list[str]) -> None:
    for trouble in troubles:
        click.echo(trouble, err=True)
    if troubles:
        sys.exit(1)


async def _init(where: str) -> None:
    async with _opened(where) as (opened, _):
        click.echo(f"ready: {opened!r}")


async def _reseal(where: str) -> list[str]:
    seen: Counter[Resealing] = Counter()
    troubles = []
    async with _opened(where) as (_, records):
        async for each in reseal(records):
            seen[each.outcome] += 1
            if each.outcome is Resealing.UNOPENED:
                troubles.append(each.trouble)
        active = records.keyring.active
    click.echo(
        f"key {active}: {seen[Resealing.ANEW]} sealed anew, "
        f"{seen[Resealing.ALREADY]} already, {len(troubles)} not opened"
    )
    return troubles


async def _restored(
    where: str, providers: tuple[str, ...], pace: Pace, *, again: bool
) -> list[str]:
    marked, troubles = [], []
    async with _opened(where) as (opened, records):
        async for row in records.all():
            if not row.is_grant or (providers and row.key.provider not in providers):
                continue
            name = "/".join(row.key)
            try:
                outcome = await doubt(opened, row.key, pace, waiting=again)
            except EverbearerError as error:
                troubles.append(str(error))
                continue
            if outcome is Doubt.HELD:
                troubles.append(
                    f"{name}: a process is refreshing it now: stop all that use the "
                    "store, and call this again"
                )
            elif outcome is Doubt.MARKED:
                marked.append(name)
                if pace.is_first(row.key.provider):
                    click.echo(f"may be tried now: {name}")
    click.echo(
        f"{len(marked)} marked; the others in {pace.pause:g} s, "
        f"{pace.rate:g} a second of each provider"
    )
    return troubles


@asynccontextmanager
async def _opened(where: str) -> AsyncIterator[tuple[TokenStore, SealedRecords]]:
    url = where
    if "://" not in where:
        url = read_config(Path(where), _StoreConfig, part=True).store
    opened = open_store(url)
    await opened.open()
    try:
        yield opened, await sealed_in(opened)
    finally:
        await opened.aclose()
