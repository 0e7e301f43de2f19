"""Every error that Everbearer raises, sorted by whose move is next.

::

    EverbearerError
      ConfigurationError       the developer's: says what to change
      AuthorizationRequired    the user's: connect the account again; do not retry
      CallbackError            the user's: this callback was refused, start again
      TemporarilyUnavailable   nobody's: wait ``retry_after`` s; the grant is intact
      TokenEndpointError       the provider's: its answer made no sense
      StoreError               the operator's: the token store failed
        LeaseLost              another process took over this account's refresh

Those that can come out of a request also derive from `aiohttp.ClientError`, so that
code which catches aiohttp's errors keeps working.  All of them survive pickling.
No message and no attribute ever holds a secret.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

import aiohttp

if TYPE_CHECKING:
    from datetime import datetime

__all__ = [
    "AuthorizationRequired",
    "CallbackCode",
    "CallbackError",
    "ConfigurationError",
    "EverbearerError",
    "LeaseLost",
    "Reason",
    "StoreError",
    "TemporarilyUnavailable",
    "TokenEndpointError",
]

Reason = Literal[
    "never_connected",
    "revoked",
    "refused",
    "refresh_expired",
    "rotation_lost",
    "no_refresh_token",
]
"""Why an account needs its user."""

CallbackCode = Literal[
    "access_denied",
    "malformed",
    "unknown",
    "reused",
    "expired",
    "foreign",
    "issuer",
    "refused",
]
"""Why a callback was refused; a provider's own ``error`` value is passed through."""


def _rebuild(
    cls: type[EverbearerError], message: str, state: dict[str, Any]
) -> EverbearerError:
    """Make an unpickled error without running its keyword-only constructor."""
    error = cls.__new__(cls, message)
    Exception.__init__(error, message)
    error.__dict__.update(state)
    return error


class EverbearerError(Exception):
    """The root of all errors raised by Everbearer."""

    def copy(self) -> Self:
        """A fresh instance: waiters of one flight must not share a traceback."""
        twin = _rebuild(type(self), str(self), dict(self.__dict__))
        assert isinstance(twin, type(self))  # noqa: S101 - narrows for the type checker
        return twin

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), str(self), dict(self.__dict__)))


class ConfigurationError(EverbearerError, aiohttp.ClientError):
    """The developer's move: the message says what to change."""


class AuthorizationRequired(EverbearerError, aiohttp.ClientError):
    """The user's move: connect the account again.  Retrying cannot help.

    Attributes:
        provider: Name of the registration.

        account: The account id.

        reason: One of `Reason`.

        since: When this became so (aware, UTC), or None if it never was connected.
    """

    def __init__(
        self,
        provider: str,
        account: str,
        reason: Reason,
        *,
        since: datetime | None = None,
        detail: str = "",
    ) -> None:
        self.provider = provider
        self.account = account
        self.reason = reason
        self.since = since
        when = f" since {since:%Y-%m-%d %H:%M:%S}Z" if since else ""
        more = f" ({detail})" if detail else ""
        super().__init__(
            f"account {account!r} at {provider!r} must be connected by its user: "
            f"{reason}{when}{more}; send them to client.authorization.start(...).url"
        )


class CallbackError(EverbearerError):
    """The callback of an authorization was refused; nothing was stored.

    Attributes:
        code: One of `CallbackCode`, or the provider's own ``error`` value.

        description: The provider's ``error_description``, cut, or our sentence.
    """

    def __init__(self, code: str, description: str = "") -> None:
        self.code = code
        self.description = description
        super().__init__(f"{code}: {description}" if description else code)


class TemporarilyUnavailable(EverbearerError, aiohttp.ClientError):
    """Wait *retry_after* seconds and try again; the stored grant is intact.

    Attributes:
        retry_after: Seconds, never None.

        account: The account id, or "" where the call was about none.
    """

    def __init__(
        self, provider: str, account: str, message: str, *, retry_after: float
    ) -> None:
        self.provider = provider
        self.account = account
        self.retry_after = max(0.0, retry_after)
        where = f"account {account!r} at {provider!r}" if account else repr(provider)
        super().__init__(f"{where}: {message}; try again in {self.retry_after:.1f} s")


class TokenEndpointError(EverbearerError, aiohttp.ClientError):
    """The token endpoint's answer made no sense.

    Attributes:
        status: HTTP status of the answer, 0 if there was none.

        code: The ``error`` member of RFC 6749 section 5.2, or "".

        description: What was wrong, or the provider's words: cut and redacted.
    """

    def __init__(self, *, status: int, code: str = "", description: str = "") -> None:
        self.status = status
        self.code = code
        self.description = description
        super().__init__(
            (f"token endpoint answered {status}" if status else "token endpoint")
            + (f" {code}" if code else "")
            + (f": {description}" if description else "")
        )


class StoreError(EverbearerError, aiohttp.ClientError):
    """The operator's move: the token store could not be read or written."""


class LeaseLost(StoreError):
    """Another process took over the refresh of this account before it was sent."""
