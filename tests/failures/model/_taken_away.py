"""Take one guard out of the real code, and put it back.

A guard is named by the text of its function that is replaced, so that an entry which
does not fit the code any more fails instead of taking nothing away.
"""

from __future__ import annotations
import __future__

import inspect
import sys
import textwrap
from contextlib import contextmanager
from importlib import import_module

from attrs import frozen

PACKAGE = "everbearer"


@frozen
class TakenAway:
    """A rule without one of its guards.

    Attributes:
        rule: Its number.

        what: What is missing then.

        where, old, new: See `taken_away`.

        red: What the judge says in the end.

        flavour: Of the provider.

        run: The steps that show it.

        processes, lifetime: What the run begins with.
    """

    rule: int
    what: str
    where: str
    old: str
    new: str
    red: str = ""
    flavour: str = "strict"
    run: tuple = ()
    processes: int = 2
    lifetime: float = -1.0


@contextmanager
def taken_away(where, old, new):
    """While it lasts, *new* stands for *old* in the function *where*.

    Args:
        where: Module, a colon, and the name of a function, or Class.method, in it.

        old, new: Source text; *old* occurs exactly once.
    """
    module_name, _, name = where.partition(":")
    module = import_module(f"{PACKAGE}.{module_name}")
    *owners, attribute = name.split(".")
    owner = module
    for each in owners:
        owner = getattr(owner, each)
    original = inspect.getattr_static(owner, attribute)
    changed = _changed(module, original, attribute, old, new)
    holders = [owner] if owners else _holders(attribute, original)
    for holder in holders:
        setattr(holder, attribute, changed)
    try:
        yield
    finally:
        for holder in holders:
            setattr(holder, attribute, original)


def _changed(module, original, name, old, new):
    function = original.fget if isinstance(original, property) else original
    source = textwrap.dedent(inspect.getsource(function))
    found = source.count(old)
    assert found == 1, f"{found} times in {name}: {old!r}"
    flags = __future__.annotations.compiler_flag
    code = compile(source.replace(old, new), module.__file__, "exec", flags)
    made = {}
    exec(code, vars(module), made)
    return made[name]


def _holders(name, function):
    """Every module that has imported *function* by its name."""
    return [
        module
        for module_name, module in tuple(sys.modules.items())
        if module_name.partition(".")[0] == PACKAGE
        and vars(module).get(name) is function
    ]
