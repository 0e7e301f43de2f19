"""The narrow door between the request path and the refresh."""

from __future__ import annotations

from typing import Protocol

__all__ = ["TokenSource"]


class TokenSource(Protocol):
    """Gives one account's access token; all that the transport knows of a refresh."""

    def current(self, margin: float = 0.0) -> str | None:
        """The access token if it is good for *margin* seconds more, without waiting.

        A stale token is still given, and its refresh starts in the background.  None
        means: ask `replacement_for`.
        """
        ...

    def accepted(self, access_token: str) -> None:
        """Note that the API took *access_token*."""
        ...

    async def replacement_for(
        self, rejected: str | None, *, revoked: bool = False, margin: float = 0.0
    ) -> str | None:
        """An access token other than *rejected*, refreshing if that is still current.

        With None, whatever is good now, and for *margin* seconds if that can be had.
        *revoked* says that the API called the grant ended: if *rejected* is still
        current, the account is marked and no refresh is spent on it.  The answer None
        means that a refresh would not help: hand the API's answer to the caller.

        Raises:
            AuthorizationRequired: The user must act.

            TemporarilyUnavailable: Not now; the grant is intact.

            ConfigurationError: The provider knows no such client.
        """
        ...

    def reject(self, rejected: str) -> None:
        """Note that the API refused *rejected* and start its refresh; do not wait."""
        ...

    def one_shot(self, change: int) -> None:
        """Count bodies under way that cannot be sent twice: +1 before, -1 after."""
        ...
