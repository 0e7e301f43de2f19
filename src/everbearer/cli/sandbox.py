"""``everbearer sandbox``: an emulated provider on a loopback port."""

from __future__ import annotations

import asyncio

import click

from everbearer.cli._stop import asked_to_stop
from everbearer.sandbox import PROVIDERS, Sandbox

__all__ = ["sandbox"]


@click.command()
@click.option(
    "--provider",
    type=click.Choice(PROVIDERS),
    default="billit",
    show_default=True,
    help="Whose documents to play.",
)
@click.option("--port", default=8410, show_default=True, help="0 takes a free one.")
@click.option(
    "--access-lifetime",
    type=float,
    help="Seconds that an access token lives.  [default: as documented]",
)
@click.option(
    "--orders", default=250, show_default=True, help="Orders of each company."
)
def sandbox(
    provider: str, port: int, access_lifetime: float | None, orders: int
) -> None:
    """Emulate a provider on this machine until interrupted.

    Use it with Provider.with_hosts(login=URL, token=URL, api=URL), or a longer URL
    where the command prints one; paths below are those of the provider's document.
    """
    asyncio.run(_serve(provider, port, access_lifetime, orders))
    click.echo("stopped")


async def _serve(
    provider: str, port: int, access_lifetime: float | None, orders: int
) -> None:
    async with Sandbox(provider, port=port, orders_per_account=orders) as running:
        if access_lifetime is not None:
            running.settings.access_lifetime = access_lifetime
        click.echo(f"{running.title} sandbox on {running.url}")
        if running.api_url != running.url:
            click.echo(f"token and api  {running.api_url}")
        click.echo(f"client id      {running.settings.client_id}")
        click.echo(f"client secret  {running.settings.client_secret}")
        click.echo("press Ctrl+C to stop")
        await asked_to_stop()
