"""The access tokens of one account that its API has refused, as this process saw it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from everbearer.refresh._decision import proven_after

if TYPE_CHECKING:
    from everbearer.refresh._held import Moment
    from everbearer.tokens import TokenRecord

__all__ = ["Rejections"]


class Rejections:
    """Refused tokens that may still be the stored one, and when that began."""

    __slots__ = ("_first", "_now")

    def __init__(self) -> None:
        self._now: set[str] = set()
        # Kept while a refused token is given another chance.
        self._first: dict[str, float] = {}

    def __contains__(self, access_token: str | None) -> bool:
        return access_token in self._now

    @property
    def tokens(self) -> frozenset[str]:
        """Those that count now."""
        return frozenset(self._now)

    def note(self, access_token: str, now: float) -> None:
        """The API has refused *access_token*; *now* is by the store's clock."""
        self._now.add(access_token)
        self._first.setdefault(access_token, now)

    def in_a_row(self, spent: TokenRecord, at: Moment, *, accepted: bool) -> int:
        """How many there were up to the token of *spent* since one was good (rule 20).

        One that was first refused when it had lived for a while must have been good:
        whoever uses `access_token` with another library never tells.
        """
        token = spent.token.access_token
        if token is None or token not in self._now:
            return 0
        lived = self._first[token] >= spent.minted_at + proven_after(spent, at.ahead)
        return 1 if lived or accepted else spent.rejections + 1

    def pardon(self, access_token: str | None) -> None:
        """Serve it again: the refusal was about something else."""
        self._now -= {access_token}

    def keep_only(self, access_token: str) -> None:
        """Another token is served: forget all but that one."""
        self._now.intersection_update({access_token})
        self._first = {t: at for t, at in self._first.items() if t == access_token}

    def clear(self) -> None:
        """Forget them all."""
        self._now.clear()
        self._first.clear()
