"""The configuration file of ``everbearer sync``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

from attrs import field, frozen

from everbearer import ConfigurationError, Timing
from everbearer.cli._listing import LISTINGS, Listing
from everbearer.cli._registration_config import RegistrationConfig, read_config

if TYPE_CHECKING:
    from pathlib import Path

    from everbearer import Registration

__all__ = ["SyncConfig"]


@frozen
class SyncConfig:
    """What a worker needs to know.

    Attributes:
        client_id: As issued.

        client_secret_env: Name of the environment variable with the client secret.

        store: URL of the token store that all workers share.

        documents: Path of the SQLite file that the documents go to.

        provider, environment, hosts: Whose API, and where; by default in the
            environment that the provider's description begins with.

        listing: How documents are listed there, for a provider that is not in
            `everbearer.cli._listing`.

        page_size: Documents per page, by default the most that there may be.

        rounds: How often to look where there is only one document.

        pause: Seconds between two pages of an account.

        timing: Deadlines of a refresh.

        sabotage: ``lease`` takes no lease, to show what it is for.
    """

    client_id: str
    client_secret_env: str
    store: str
    documents: str
    provider: str = "billit"
    environment: str = ""
    hosts: dict[str, str] = field(factory=dict)
    listing: Listing | None = None
    page_size: int | None = None
    rounds: int = 1
    pause: float = 0.0
    timing: Timing = field(factory=Timing)
    sabotage: Literal["", "lease"] = ""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the TOML file at *path*.

        Raises:
            ConfigurationError: It cannot be read; the message says what is wrong.
        """
        return read_config(path, cls)

    def documents_list(self) -> Listing:
        """How documents are listed at this provider.

        Raises:
            ConfigurationError: Nobody has said.
        """
        listing = self.listing or LISTINGS.get(self.provider)
        if listing is None:
            raise ConfigurationError(
                f"how {self.provider!r} lists documents is not known: add a [listing] "
                "with its path, id, items, size and page or offset"
            )
        return listing

    def registration(self) -> Registration:
        """The registration that the file describes."""
        return RegistrationConfig(
            self.client_id,
            self.client_secret_env,
            self.provider,
            self.environment,
            self.hosts,
        ).registration()
