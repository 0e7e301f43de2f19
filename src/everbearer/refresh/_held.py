"""A record as one process last saw it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    from everbearer.tokens import TokenRecord

__all__ = ["Held"]


@define(eq=False)
class Held:
    """The record as this process last saw it, with instants on the elapsed clock."""

    record: TokenRecord
    access_token: str = field(repr=False)
    fresh_until: float
    usable_until: float
    half_life: float
    accepted: bool = False
    unsaved: bool = False
