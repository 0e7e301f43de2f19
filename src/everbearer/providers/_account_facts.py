"""What an API tells of an account, to be asked for once, when it connects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import Attribute, field, frozen

from everbearer.errors import ConfigurationError

if TYPE_CHECKING:
    from typing import Any

__all__ = ["AccountFacts"]


def _below_the_base(_: object, __: Attribute[Any], path: str) -> None:
    # "https://api.example" and "@elsewhere/" make another host's URL.
    if not path.startswith("/"):
        raise ConfigurationError(f"AccountFacts.path is {path!r}: begin it with a /")


@frozen
class AccountFacts:
    """A GET call whose answer says which companies an account may act for.

    It is asked for once, when `Client.authorization.finish` has stored the grant, and
    kept sealed beside the token: whatever JSON comes with status 200, as it came.  It
    is best effort: without an answer the account is connected all the same.

    Attributes:
        path: Below the API base URL; begins with a slash.

        keep_as: Its name in `AccountStatus.extra`.

    Raises:
        ConfigurationError: The path does not begin with a slash.
    """

    path: str = field(validator=_below_the_base)
    keep_as: str
