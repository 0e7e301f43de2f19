"""Code in README.md and docs/ runs as tests, each page in one event loop.

* ``python`` blocks run top down, in one namespace per page, with ``await`` at the top
  level as in ``python -m asyncio``.  A page finds a running `Sandbox` called
  ``sandbox``, a ``registration`` with it, and an empty working directory.  What else a
  page needs and a reader does not is in an ``invisible-code-block`` comment.
* ``output`` blocks are what the block above them prints; ``...`` stands for anything.
* ``toml`` blocks are configuration files of ``everbearer sync``, kept as sync.toml, or
  with ``registrations`` of ``everbearer keep``, kept as keep.toml.
* ``sh`` blocks are not run, but what they ask of ``everbearer`` and ``make`` exists.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import doctest
import inspect
import io
import os
import re
import shlex
import tempfile
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from sybil import Sybil
from sybil.evaluators.python import pad
from sybil.parsers.markdown import CodeBlockParser

from everbearer import Registration
from everbearer.cli._main import command
from everbearer.cli._registration_config import read_config
from everbearer.cli._sync_config import SyncConfig
from everbearer.cli.keep import KeepConfig
from everbearer.providers import BILLIT
from everbearer.sandbox import Sandbox

if TYPE_CHECKING:
    from sybil import Example

ROOT = Path(__file__).parent
CALLBACK = "https://app.example/callback"
SECRET_VARIABLE = "BILLIT_CLIENT_SECRET"
LOOP, CLEAN_UP, PRINTED = "_loop", "_clean_up", "_printed"


# ---- a page


def open_page(namespace: dict[str, Any]) -> None:
    """Give a page its event loop, its folder and its sandbox."""
    namespace["__name__"] = "__main__"  # as at a prompt
    clean_up = namespace[CLEAN_UP] = contextlib.ExitStack()
    folder = clean_up.enter_context(tempfile.TemporaryDirectory())
    clean_up.enter_context(contextlib.chdir(folder))
    loop = namespace[LOOP] = clean_up.enter_context(asyncio.Runner())
    sandbox = namespace["sandbox"] = Sandbox(orders_per_account=250)
    loop.run(sandbox.start())
    clean_up.callback(lambda: loop.run(sandbox.aclose()))
    namespace["registration"] = Registration(
        BILLIT.with_hosts(sandbox.url, sandbox.url, sandbox.url),
        sandbox.settings.client_id,
        sandbox.settings.client_secret,
        CALLBACK,
    )


def close_page(namespace: dict[str, Any]) -> None:
    """Close what the page left open: its ``client``, if it has one, comes first."""
    with namespace[CLEAN_UP]:
        if (client := namespace.get("client")) is not None:
            namespace[LOOP].run(client.aclose())


# ---- its blocks


def run_python(example: Example) -> None:
    """Run a block, in the page's event loop if it awaits anything."""
    code = compile(
        pad(example.parsed, example.line + example.parsed.line_offset),
        example.path,
        "exec",
        flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
        dont_inherit=True,
    )
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        if code.co_flags & inspect.CO_COROUTINE:
            example.namespace[LOOP].run(eval(code, example.namespace))
        else:
            # A whole program, which calls asyncio.run() itself.
            exec(code, example.namespace)
    example.namespace[PRINTED] = printed.getvalue()


def compare_output(example: Example) -> None:
    """Compare with what the block above has printed."""
    said, wanted = example.namespace[PRINTED], str(example.parsed)
    if not doctest.OutputChecker().check_output(wanted, said, doctest.ELLIPSIS):
        message = f"the page says:\n{wanted}\nthe code above it prints:\n{said}"
        raise AssertionError(message)


def read_configuration(example: Example) -> None:
    """Read the file as its command would, and make its registrations."""
    keeps = "registrations" in tomllib.loads(example.parsed)
    path = Path("keep.toml" if keeps else "sync.toml")
    path.write_text(example.parsed, "utf-8")
    if keeps:
        kept = read_config(path, KeepConfig)
        secrets = [each.client_secret_env for each in kept.registrations.values()]
        make = kept.to_keep
    else:
        config = SyncConfig.read(path)
        secrets, make = [config.client_secret_env], config.registration
    os.environ.update(dict.fromkeys(secrets, "not a secret"))
    try:
        make()
    finally:
        for name in secrets:
            del os.environ[name]


def check_commands(example: Example) -> None:
    """Look up every option of ``everbearer`` and every target of ``make``."""
    targets = set(
        re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    )
    for line in example.parsed.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        while words and (words[0] == "export" or "=" in words[0]):
            words.pop(0)
        match words:
            case ["everbearer", verb, *arguments] if verb in command.commands:
                arguments = [word for word in arguments if word not in {"&", "--help"}]
                found = command.commands[verb]
                while isinstance(found, click.Group) and arguments:
                    found = found.commands[arguments.pop(0)]
                found.make_context(verb, arguments)
            case ["everbearer", "--help" | "--version"]:
                pass
            case ["everbearer", *_]:
                message = f"there is no such command: {line}"
                raise AssertionError(message)
            case ["make", *wanted]:
                asked = {word for word in wanted if "=" not in word}
                assert asked <= targets, f"make has no {asked - targets}"


pytest_collect_file = Sybil(
    parsers=[
        CodeBlockParser("python", run_python),
        CodeBlockParser("output", compare_output),
        CodeBlockParser("toml", read_configuration),
        CodeBlockParser("sh", check_commands),
    ],
    patterns=["README.md", "docs/**/*.md"],
    setup=open_page,
    teardown=close_page,
).pytest()
