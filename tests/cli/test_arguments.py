"""Secrets are read from the environment and from files, never from arguments.

Everybody on a host can read the arguments of its processes.
"""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from everbearer.cli._main import command

VERBS = sorted(command.commands)
SECRET_ENV = "EVERBEARER_TEST_CLIENT_SECRET"
TELLING = re.compile("secret|token|password|credential|key", re.IGNORECASE)
CONFIGURED = {
    "keep": """store = "sqlite:///tokens.db"
[registrations.billit]
provider = "billit"
""",
    "sync": """store = "sqlite:///tokens.db"
documents = "orders.db"
""",
}


@pytest.mark.parametrize("verb", VERBS)
def test_no_argument_takes_a_secret(verb):
    """An option for one would be used, and would show it."""
    verb = command.commands[verb]
    parameters = list(verb.params)
    for inner in getattr(verb, "commands", {}).values():
        parameters += inner.params
    names = [name for each in parameters for name in (each.name, *each.opts)]
    assert [name for name in names if TELLING.search(name)] == []


@pytest.mark.parametrize("verb", CONFIGURED)
def test_a_file_names_the_variable_and_not_the_secret(verb, tmp_path, canary):
    """A literal secret in a file is refused, and not shown."""
    secret = secrets.token_urlsafe()
    path = tmp_path / "everbearer.toml"
    path.write_text(
        CONFIGURED[verb] + f'client_id = "my-client"\nclient_secret = "{secret}"\n'
    )
    ended = subprocess.run(
        [sys.executable, "-m", "everbearer.cli", verb, path],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert ended.returncode != 0
    assert "client_secret" in ended.stderr
    canary.note("output", ended.stdout, ended.stderr)


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="Linux only")
@pytest.mark.parametrize("verb", ["keep", "sandbox", "sync"])
def test_what_others_see_of_a_process(verb, tmp_path):
    """While a verb runs, its command line has no secret of its environment."""
    secret, key = secrets.token_urlsafe(), secrets.token_urlsafe(32)
    configuration = tmp_path / "everbearer.toml"
    os.mkfifo(configuration)
    arguments = [configuration] if verb in CONFIGURED else ["--port", "0"]
    with subprocess.Popen(
        [sys.executable, "-m", "everbearer.cli", verb, *arguments],
        cwd=tmp_path,
        env={
            **os.environ,
            "EVERBEARER_KEYS": key,
            "PYTHONUNBUFFERED": "1",
            SECRET_ENV: secret,
        },
        stdout=subprocess.PIPE,
    ) as process:
        try:
            if verb in CONFIGURED:
                # Opens when the verb does, which then waits for what is written.
                with configuration.open("w"):
                    seen = command_line(process)
            else:
                assert process.stdout.readline()
                seen = command_line(process)
        finally:
            process.kill()
    assert verb in seen.split("\0")
    assert secret not in seen
    assert key not in seen


def command_line(process):
    """As any user of the host can read it."""
    return Path(f"/proc/{process.pid}/cmdline").read_bytes().decode()
