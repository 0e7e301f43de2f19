"""The contract suite, to run against a token store."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final

import pytest
import pytest_asyncio

from everbearer.testing._contract import authorizations, lease, reading, tokens
from everbearer.testing._contract._made import Make, StandingClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from everbearer.stores import TokenStore
    from everbearer.tokens import TokenRecord

__all__ = ["store_contract"]

_MODULES: Final = (authorizations, lease, reading, tokens)
# Whose tests begin with an account that is connected.
_CONNECTED: Final = (lease,)


def store_contract(
    maker: Callable[[StandingClock, Path], TokenStore | Awaitable[TokenStore]]
    | None = None,
) -> type:
    """What every token store must do: a class of tests, for pytest to collect.

    ``TestAcmeStore = store_contract(lambda clock, folder: AcmeStore(folder, clock))``
    in a test module is all that it takes.  The tests run with pytest-asyncio.

    Args:
        maker: Makes the store of one test, or is a coroutine function that does; it
            is opened and closed by the tests.  It gets the clock that the store has to
            tell the time by (``wall()`` and ``elapsed()``, in seconds), which the tests
            move, and an empty folder.  Without *maker*, a fixture of yours called
            ``store`` is asked for the opened store, and it may use ``clock``.
    """
    members: dict[str, Any] = {"__doc__": store_contract.__doc__}
    for module in _MODULES:
        for name, test in vars(module).items():
            if not name.startswith("test_"):
                continue
            if module in _CONNECTED:
                test = pytest.mark.usefixtures("connected")(test)  # noqa: PLW2901 - the same test, marked
            members[name] = staticmethod(test)
    if maker is not None:
        members["store"] = _store_fixture(maker)
    contract = type("StoreContract", (_Fixtures,), members)
    marked: type = pytest.mark.asyncio(contract)
    return marked


class _Fixtures:
    """What the tests ask for, beside the store."""

    @pytest.fixture
    def clock(self) -> StandingClock:
        """The clock of the store."""
        return StandingClock()

    @pytest.fixture
    def make(self) -> Make:
        """Builds what the store is asked with."""
        return Make()

    @pytest_asyncio.fixture
    async def connected(self, store: TokenStore, make: Make) -> TokenRecord:
        """The record of an account that was just connected."""
        return await store.put(make.key, make.grant())


def _store_fixture(
    maker: Callable[[StandingClock, Path], TokenStore | Awaitable[TokenStore]],
) -> object:
    async def store(
        _: object, clock: StandingClock, tmp_path: Path
    ) -> AsyncIterator[TokenStore]:
        made = maker(clock, tmp_path)
        opened = await made if inspect.isawaitable(made) else made
        await opened.open()
        yield opened
        await opened.aclose()

    return pytest_asyncio.fixture(store)
