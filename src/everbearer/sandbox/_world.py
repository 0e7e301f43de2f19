"""What the parts of one sandbox share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from attrs import frozen

from everbearer.sandbox._grants import Grants
from everbearer.sandbox._ledger import Ledger
from everbearer.sandbox._script import Script

if TYPE_CHECKING:
    from collections.abc import Callable

    from everbearer.sandbox._settings import Settings
    from everbearer.sandbox._twin import Twin

__all__ = ["World"]


@frozen(eq=False)
class World:
    """Twin, settings, clock, grants, evidence and planned faults of one sandbox."""

    twin: Twin
    settings: Settings
    clock: Callable[[], float]
    grants: Grants
    ledger: Ledger
    script: Script

    @classmethod
    def new(cls, twin: Twin, settings: Settings, clock: Callable[[], float]) -> Self:
        """A world in which nothing has happened."""
        grants, ledger = Grants(settings, clock, twin), Ledger()
        return cls(twin, settings, clock, grants, ledger, Script(grants, ledger))
