"""For every test: fixtures of a sandbox and a Client, and the canary.

The canary fails a test that lets a secret be seen.
"""

from __future__ import annotations

pytest_plugins = ["pytester", "tests._canary", "tests._flows", "everbearer_pytest"]
