"""The error tree: what derives from what, and that all of it travels."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime

import aiohttp
import pytest

from everbearer import errors

EVERY = [
    errors.ConfigurationError("change this"),
    errors.AuthorizationRequired(
        "billit", "acme", "revoked", since=datetime(2030, 1, 1, tzinfo=UTC), detail="d"
    ),
    errors.CallbackError("foreign", "not this browser's"),
    errors.TemporarilyUnavailable("billit", "acme", "throttled", retry_after=3.5),
    errors.TokenEndpointError(status=200, code="", description="no access token"),
    errors.StoreError("disk full"),
    errors.LeaseLost("taken over"),
]


@pytest.mark.parametrize("error", EVERY, ids=lambda error: type(error).__name__)
def test_survives_a_pickle_round_trip(error: errors.EverbearerError) -> None:
    """Worker pools carry errors between processes, attributes included."""
    twin = pickle.loads(pickle.dumps(error))
    assert type(twin) is type(error)
    assert str(twin) == str(error)
    assert vars(twin) == vars(error)


@pytest.mark.parametrize("error", EVERY, ids=lambda error: type(error).__name__)
def test_what_comes_out_of_a_request_is_a_client_error(
    error: errors.EverbearerError,
) -> None:
    """Code that catches aiohttp's errors keeps working; callbacks are no requests."""
    assert isinstance(error, aiohttp.ClientError) is not isinstance(
        error, errors.CallbackError
    )


def test_each_waiter_gets_its_own_copy() -> None:
    """One traceback shared by a thousand waiters would grow with each of them."""
    error = EVERY[1]
    twin = error.copy()
    assert twin is not error
    assert vars(twin) == vars(error)


def test_retry_after_is_never_negative() -> None:
    """A wait that is over is a wait of nothing."""
    error = errors.TemporarilyUnavailable("p", "a", "m", retry_after=-1)
    assert error.retry_after == 0.0


def test_says_whose_move_it_is() -> None:
    """AuthorizationRequired names account, reason, time and what to do."""
    text = str(EVERY[1])
    for part in ("acme", "billit", "revoked", "2030-01-01", "authorization.start"):
        assert part in text
