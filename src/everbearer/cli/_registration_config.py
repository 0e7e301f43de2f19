"""What a configuration file says of one registration."""

from __future__ import annotations

import os
import tomllib
from typing import TYPE_CHECKING, TypeVar

import cattrs
from attrs import evolve, field, frozen

from everbearer import ConfigurationError, Registration
from everbearer import providers as known_providers
from everbearer.providers import Provider

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["RegistrationConfig", "read_config"]

_C = TypeVar("_C")


def read_config(path: Path, model: type[_C], *, part: bool = False) -> _C:
    """Read the TOML file at *path* as a *model*, or as one with other things beside it.

    Raises:
        ConfigurationError: It cannot be read; the message says what is wrong.
    """
    converter = cattrs.Converter(forbid_extra_keys=not part)
    try:
        return converter.structure(tomllib.loads(path.read_text("utf-8")), model)
    except (OSError, ValueError, cattrs.BaseValidationError) as error:
        lines = (
            "; ".join(cattrs.transform_error(error))
            if isinstance(error, cattrs.BaseValidationError)
            else str(error)
        )
        raise ConfigurationError(f"{path.name}: {lines}") from None


@frozen
class RegistrationConfig:
    """One client id at one provider.

    Attributes:
        client_id: As issued.

        client_secret_env: Name of the environment variable with the client secret.

        provider, environment, hosts: At whom, and where; by default in the
            environment that the provider's description begins with.

        refresh_idle_lifetime: In seconds, where the provider told you another one than
            its description says.
    """

    client_id: str
    client_secret_env: str
    provider: str
    environment: str = ""
    hosts: dict[str, str] = field(factory=dict)
    refresh_idle_lifetime: float | None = None

    def registration(self, name: str = "") -> Registration:
        """The registration that the file describes.

        Raises:
            ConfigurationError: There is no such provider, or no client secret.
        """
        provider = getattr(known_providers, self.provider.upper(), None)
        if not isinstance(provider, Provider):
            raise ConfigurationError(f"no provider is called {self.provider!r}")
        if self.environment:
            provider = provider.in_environment(self.environment)
        if self.hosts:
            provider = provider.with_hosts(**self.hosts)
        if self.refresh_idle_lifetime is not None:
            provider = evolve(
                provider, refresh_idle_lifetime=self.refresh_idle_lifetime
            )
        secret = os.environ.get(self.client_secret_env)
        if not secret:
            raise ConfigurationError(
                f"the environment variable {self.client_secret_env} is not set; it "
                "holds the client secret"
            )
        return Registration(provider, self.client_id, secret, name=name)
