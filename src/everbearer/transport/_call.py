"""What a session's methods return: to be awaited, or entered with ``async with``."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import TracebackType

__all__ = ["Call"]


class _Entered(Protocol):
    """An answer that ends with its ``async with``, as aiohttp's do."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...


T = TypeVar("T", bound=_Entered)


class Call(Coroutine[Any, Any, T]):
    """A call that is sent once it is awaited or entered, and only then.

    It is a coroutine, so `asyncio.create_task` and `asyncio.gather` take it.  Leaving
    ``async with`` gives the answer's connection back, or closes the WebSocket.
    Awaiting it twice is a RuntimeError, as with any coroutine.
    """

    __slots__ = ("_answer", "_sending")

    def __init__(self, sending: Coroutine[Any, Any, T]) -> None:
        self._sending = sending

    def send(self, value: None) -> Any:  # noqa: ANN401 - what asyncio yields
        return self._sending.send(value)

    def throw(self, *args: Any) -> Any:  # noqa: ANN401 - as Coroutine says
        return self._sending.throw(*args)

    def close(self) -> None:
        self._sending.close()

    def __await__(self) -> Generator[Any, Any, T]:
        return self._sending.__await__()

    async def __aenter__(self) -> T:
        self._answer = await self._sending
        return await self._answer.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._answer.__aexit__(kind, error, traceback)
