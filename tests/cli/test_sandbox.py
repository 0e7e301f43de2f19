"""``everbearer sandbox --provider``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request

import pytest
from click.testing import CliRunner

from everbearer.cli._main import command

PLAYED = {
    "caminvoice": ("CamInvoice", 900.0),
    "flowaccount": ("FlowAccount", 3600.0),
    "standard": ("A standard server", 3600.0),
}


@pytest.mark.parametrize("provider", PLAYED)
def test_each_provider(provider) -> None:
    """It says whom it plays and where, with the defaults of the document."""
    title, lifetime = PLAYED[provider]
    arguments = ["sandbox", "--provider", provider, "--port", "0"]
    with subprocess.Popen(
        [sys.executable, "-m", "everbearer.cli", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        try:
            first, second = process.stdout.readline(), process.stdout.readline()
            url = first.rpartition(" ")[2].strip()
            with urllib.request.urlopen(f"{url}/_sandbox/settings") as response:
                settings = json.load(response)
        finally:
            process.terminate()
            process.communicate(timeout=20)
    assert first.startswith(f"{title} sandbox on http://127.0.0.1:")
    assert settings["access_lifetime"] == lifetime
    assert (f"{url}/test" in second) == (provider == "flowaccount")


def test_unknown_provider() -> None:
    """A provider that nobody plays is refused, and the ones there are are named."""
    result = CliRunner().invoke(command, ["sandbox", "--provider", "acme"])
    assert result.exit_code == 2
    assert "caminvoice" in result.output
