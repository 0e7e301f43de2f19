"""Our own stores, by the contract that those of others are held to."""

from __future__ import annotations

from everbearer.testing import store_contract

TestStore = store_contract()
