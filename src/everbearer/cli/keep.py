"""``everbearer keep``: a keeper as a process of its own."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import click
from attrs import field, frozen

from everbearer import Client, ConfigurationError, Registration, Timing
from everbearer.cli._registration_config import RegistrationConfig, read_config
from everbearer.cli._stop import asked_to_stop

__all__ = ["KeepConfig", "keep"]


@frozen
class KeepConfig:
    """What a keeper needs to know.

    Attributes:
        store: URL of the token store that all processes share.

        registrations: By the names that the accounts are stored under; by default that
            is the provider's name.

        concurrency: How many accounts of a registration are refreshed at once.

        timing: Deadlines of a refresh.
    """

    store: str
    registrations: dict[str, RegistrationConfig]
    concurrency: int = 16
    timing: Timing = field(factory=Timing)

    def to_keep(self) -> list[Registration]:
        """The registrations, at least one of which has something to keep.

        Raises:
            ConfigurationError: None has, or one cannot be made.
        """
        made = [each.registration(n) for n, each in self.registrations.items()]
        if not any(each.provider.refresh_idle_lifetime for each in made):
            raise ConfigurationError(
                "nothing to keep: none of these providers is known to end refresh "
                "tokens that are left alone; if yours told you after how long, set "
                "refresh_idle_lifetime"
            )
        return made


@click.command()
@click.argument("config", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--verbose", is_flag=True, help="Log at DEBUG.")
def keep(config: Path, *, verbose: bool) -> None:
    """Refresh what would end by being left alone, until interrupted.

    CONFIG is a TOML file.  Any number of these may run on one store, beside the
    programs that use it; a refresh under way is finished before the command ends.
    """
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.WARNING,
        format="%(levelname)s %(message)s",
    )
    asyncio.run(_keep(read_config(config, KeepConfig)))
    click.echo("stopped")


async def _keep(config: KeepConfig) -> None:
    client = Client(*config.to_keep(), store=config.store, timing=config.timing)
    async with client:
        stopping = asyncio.create_task(asked_to_stop())
        keeping = asyncio.create_task(client.keep(concurrency=config.concurrency))
        click.echo(f"keeping {', '.join(config.registrations)}")
        await asyncio.wait({stopping, keeping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    await keeping
