"""The configuration file of ``everbearer sync``."""

from __future__ import annotations

import os
import tomllib
from typing import TYPE_CHECKING, Any, Literal, Self

import cattrs
from attrs import field, frozen

from everbearer import ConfigurationError, Registration, Timing
from everbearer import providers as known_providers
from everbearer.providers import Provider

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["SyncConfig"]


def _structure(members: dict[str, Any]) -> SyncConfig:
    converter = cattrs.Converter(forbid_extra_keys=True)
    return converter.structure(members, SyncConfig)


@frozen
class SyncConfig:
    """What a worker needs to know.

    Attributes:
        client_id: As issued.

        client_secret_env: Name of the environment variable with the client secret.

        store: URL of the token store that all workers share.

        documents: Path of the SQLite file that the documents go to.

        provider, environment, hosts: Whose API, and where.

        path, items_member, id_member, page_size: How documents are listed there.

        pause: Seconds between two pages of an account.

        timing: Deadlines of a refresh.

        sabotage: ``lease`` takes no lease, to show what it is for.
    """

    client_id: str
    client_secret_env: str
    store: str
    documents: str
    provider: str = "billit"
    environment: str = "production"
    hosts: dict[str, str] = field(factory=dict)
    path: str = "/v1/orders"
    items_member: str = "Items"
    id_member: str = "OrderID"
    page_size: int = 120
    pause: float = 0.0
    timing: Timing = field(factory=Timing)
    sabotage: Literal["", "lease"] = ""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the TOML file at *path*.

        Raises:
            ConfigurationError: It cannot be read; the message says what is wrong.
        """
        try:
            members = tomllib.loads(path.read_text("utf-8"))
            config = _structure(members)
        except (OSError, ValueError, cattrs.BaseValidationError) as error:
            lines = (
                "; ".join(cattrs.transform_error(error))
                if isinstance(error, cattrs.BaseValidationError)
                else str(error)
            )
            raise ConfigurationError(f"{path.name}: {lines}") from None
        assert isinstance(config, cls)  # noqa: S101 - narrows for the type checker
        return config

    def registration(self) -> Registration:
        """The registration that the file describes."""
        provider = getattr(known_providers, self.provider.upper(), None)
        if not isinstance(provider, Provider):
            raise ConfigurationError(f"no provider is called {self.provider!r}")
        provider = provider.in_environment(self.environment)
        if self.hosts:
            provider = provider.with_hosts(**self.hosts)
        secret = os.environ.get(self.client_secret_env)
        if not secret:
            raise ConfigurationError(
                f"the environment variable {self.client_secret_env} is not set; it "
                "holds the client secret"
            )
        return Registration(provider, self.client_id, secret)
