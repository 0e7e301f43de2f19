"""This program's client id and secret at one provider (RFC 6749 section 2)."""

from __future__ import annotations

import inspect
import warnings
from typing import TYPE_CHECKING, NoReturn

from attrs import field, frozen
from yarl import URL

from everbearer._redact import fingerprint
from everbearer.errors import ConfigurationError
from everbearer.providers._base_url import check_base_url, is_loopback
from everbearer.providers._description import Provider

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["Registration", "by_name", "named"]


def _tuple(scopes: Iterable[str] | None) -> tuple[str, ...] | None:
    if isinstance(scopes, str):
        return tuple(scopes.split())
    return None if scopes is None else tuple(scopes)


@frozen(eq=False)
class Registration:
    """A client registered at *provider*.

    Attributes:
        provider: Its description, in the environment that is meant.

        client_id: As issued.

        client_secret: As issued, or a callable that returns it (asked before every
            token request, so that a rotated secret is picked up), or None for a
            public client.

        redirect_uri: Where callbacks arrive; needed to connect accounts only.

        scopes: Instead of the provider's default ones.

        name: Distinguishes two registrations at one provider.

    Raises:
        ConfigurationError: Something is missing or would leak; the message says what.
    """

    provider: Provider
    client_id: str
    client_secret: str | Callable[[], str] | None = field(default=None, repr=False)
    redirect_uri: str | None = None
    scopes: tuple[str, ...] | None = field(default=None, converter=_tuple)
    name: str = field(default="", kw_only=False)

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.provider, Provider):
            raise ConfigurationError(
                "Registration's first argument is a Provider, such as "
                "everbearer.providers.BILLIT"
            )
        if not self.name:
            object.__setattr__(self, "name", self.provider.name)
        if not self.client_id:
            raise ConfigurationError(f"{self.name}: client_id is empty")
        if not (
            self.client_secret is None
            or callable(self.client_secret)
            or (isinstance(self.client_secret, str) and self.client_secret)
        ):
            raise ConfigurationError(
                f"{self.name}: client_secret is a text that is not empty, a function "
                "that returns one, or None"
            )
        if (
            self.client_secret is None
            and not self.provider.secret_optional
            and any(
                call and call.client_authentication != "none"
                for call in (self.provider.exchange, self.provider.refresh)
            )
        ):
            raise ConfigurationError(
                f"{self.name}: client_secret is missing; {self.provider.name} "
                "authenticates clients with one"
            )
        base = self.provider.base
        for what in ("login", "token", "api"):
            check_base_url(getattr(base, what), f"{self.name} {what}")
        if self.redirect_uri is not None:
            self._check_redirect_uri(self.redirect_uri)

    def _check_redirect_uri(self, text: str) -> None:
        try:
            uri = URL(text)
        except (TypeError, ValueError):  # Its text may hold a part of a password.
            uri = URL()
        if not uri.absolute or uri.scheme not in {"http", "https"}:
            raise ConfigurationError(
                f"{self.name}: redirect_uri is not an absolute http(s) URL"
            )
        if uri.raw_user is not None or uri.raw_password is not None:
            # It is printed, and every user of the connect link reads it.
            raise ConfigurationError(
                f"{self.name}: redirect_uri may not have a user name or a password"
            )
        if uri.fragment:
            # RFC 6749 section 3.1.2.
            raise ConfigurationError(
                f"{self.name}: redirect_uri may not have a fragment"
            )
        if uri.query_string and not self.provider.callback.redirect_query_allowed:
            raise ConfigurationError(
                f"{self.name}: {self.provider.name} does not allow a query in "
                "redirect_uri; it is bound to the account through state anyway"
            )
        if uri.scheme == "http" and not is_loopback(uri.host):
            warnings.warn(
                f"{self.name}: redirect_uri is plain http, so authorization codes "
                "can be read on the way; use https",
                UserWarning,
                stacklevel=4,
            )

    def secret(self) -> str | None:
        """The client secret as it is now.

        Raises:
            ConfigurationError: The callable failed or returned nothing.
        """
        if not callable(self.client_secret):
            return self.client_secret
        try:
            secret = self.client_secret()
        except Exception as error:
            raise ConfigurationError(
                f"{self.name}: the client_secret callable raised "
                f"{type(error).__name__}; it must return the secret as a str"
            ) from error
        if inspect.iscoroutine(secret):
            secret.close()  # Nobody will await it, and Python would say so.
            raise ConfigurationError(
                f"{self.name}: the client_secret callable is a coroutine function; "
                "fetch the secret elsewhere, and return it from a plain function"
            )
        if not isinstance(secret, str) or not secret:
            raise ConfigurationError(
                f"{self.name}: the client_secret callable returned no text"
            )
        return secret

    def credential_fingerprint(self) -> str:
        """Name of client id and secret together: a new secret clears a circuit."""
        return fingerprint(f"{self.client_id}\0{self.secret() or ''}")

    @property
    def token_origin(self) -> str:
        """Scheme, host and port of the token endpoint, to which grants are bound."""
        return str(URL(self.provider.base.token).origin())

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Registration is not pickled, it holds a secret")


def by_name(registrations: Iterable[Registration]) -> Mapping[str, Registration]:
    """Registrations by their names.

    Raises:
        ConfigurationError: There is none, one is something else, or two have a name.
    """
    found: dict[str, Registration] = {}
    for registration in registrations:
        if not isinstance(registration, Registration):
            raise ConfigurationError(
                "Client takes Registrations, such as Registration(BILLIT, client_id, "
                "client_secret)"
            )
        if registration.name in found:
            raise ConfigurationError(
                f"two registrations are named {registration.name!r}: give one of them "
                "another name, Registration(..., name=...)"
            )
        found[registration.name] = registration
    if not found:
        raise ConfigurationError("Client needs at least one Registration")
    return found


def named(registrations: Mapping[str, Registration], name: str) -> Registration:
    """The registration called *name*.

    Raises:
        ConfigurationError: There is none; the message tells those that there are.
    """
    try:
        return registrations[name]
    except KeyError:
        known = ", ".join(sorted(registrations))
        raise ConfigurationError(
            f"no registration is named {name!r}; this Client has: {known}"
        ) from None
