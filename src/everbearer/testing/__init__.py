"""For the tests of programs that use Everbearer; install ``everbearer[testing]``.

* `connected`: an account that has a token, without a login page;
* `aioresponses`: mocked answers, with Everbearer's middleware run around them;
* the fixtures ``everbearer_sandbox`` and ``everbearer_clock``, which need no import;
* `store_contract`: what a token store must do, as tests.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from everbearer.errors import ConfigurationError
from everbearer.testing._clock import MovableClock
from everbearer.testing._connected import connected, registration_at
from everbearer.testing._served import served_sandbox

if TYPE_CHECKING:
    from everbearer.testing._mocked_answers import aioresponses
    from everbearer.testing._store_contract import store_contract

__all__ = [
    "MovableClock",
    "aioresponses",
    "connected",
    "registration_at",
    "served_sandbox",
    "store_contract",
]

# What the extra brings is imported when it is asked for.
_LATER: Final = {
    "aioresponses": "everbearer.testing._mocked_answers",
    "store_contract": "everbearer.testing._store_contract",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - of a module
    """Import what needs the extra."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        found = getattr(import_module(_LATER[name]), name)
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"everbearer.testing.{name} needs {error.name}: "
            "pip install 'everbearer[testing]'"
        ) from error
    globals()[name] = found
    return found
