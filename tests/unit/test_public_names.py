"""What can be imported is listed, sorted, and there."""

from __future__ import annotations

import importlib

import pytest

PACKAGES = (
    "everbearer",
    "everbearer.authorization",
    "everbearer.errors",
    "everbearer.events",
    "everbearer.providers",
    "everbearer.sandbox",
    "everbearer.stores",
    "everbearer.tokens",
)


@pytest.mark.parametrize("name", PACKAGES)
def test_every_listed_name_is_there_once(name) -> None:
    """``from package import *`` works, and the list can be read."""
    package = importlib.import_module(name)
    assert len(set(package.__all__)) == len(package.__all__)
    assert all(hasattr(package, each) for each in package.__all__)


def test_the_public_contract() -> None:
    """Programs outside the repository are written against these names."""
    import everbearer
    from everbearer import providers

    assert everbearer.__all__ == [
        "AccountSession",
        "AccountStatus",
        "AuthorizationRequired",
        "CallbackError",
        "Client",
        "ConfigurationError",
        "EverbearerError",
        "Keyring",
        "LeaseLost",
        "Registration",
        "StoreError",
        "TemporarilyUnavailable",
        "Timing",
        "Token",
        "TokenEndpointError",
    ]
    assert {"BILLIT", "Provider", "standard_provider"} <= set(providers.__all__)
