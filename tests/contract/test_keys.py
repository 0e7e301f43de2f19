"""Keys that come from a function, as a key management service's client is one."""

from __future__ import annotations

import threading
import traceback

import pytest

from everbearer import ConfigurationError, Keyring, StoreError
from everbearer.stores import open_store

pytestmark = pytest.mark.asyncio

KEY, OLDER = Keyring.generate_key(), Keyring.generate_key()


class Service:
    """Unwraps keys, or fails at first."""

    def __init__(self, *answers):
        self._answers = list(answers)
        self.threads = []

    def __call__(self):
        self.threads.append(threading.current_thread())
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param([KEY, OLDER], id="list"),
        pytest.param((KEY, OLDER), id="tuple"),
        pytest.param(f"{KEY},{OLDER}", id="text"),
    ],
)
async def test_a_store_asks_once_when_it_opens(store_url, make, answer):
    """Not in the event loop, and not again: all that follows finds the keys."""
    service = Service(answer)
    keyring = Keyring(service)
    assert not service.threads
    for _ in range(2):
        store = open_store(store_url, keyring=keyring)
        await store.open()
        record = await store.put(make.key, make.grant())
        await store.aclose()
    assert len(service.threads) == 1
    assert service.threads != [threading.main_thread()]
    other = open_store(store_url, keyring=Keyring([KEY]))
    await other.open()
    assert await other.load(make.key) == record
    await other.aclose()


async def test_a_service_that_fails_is_asked_again(store_url):
    """The operator's move; nothing half open is left, and the next try may succeed."""
    service = Service(ConnectionError("KMS is down"), [KEY])
    store = open_store(store_url, keyring=Keyring(service))
    with pytest.raises(StoreError, match="raised ConnectionError") as raised:
        await store.open()
    assert isinstance(raised.value.__cause__, ConnectionError)
    await store.open()
    await store.aclose()


async def _coroutine():
    return [KEY]


@pytest.mark.parametrize(
    ("function", "said"),
    [
        pytest.param(_coroutine, "coroutine function", id="coroutine"),
        pytest.param(list, "at least one key", id="none"),
        pytest.param(lambda: None, "list of texts", id="nothing"),
        pytest.param(KEY.encode, "list of texts", id="bytes"),
        pytest.param(lambda: [KEY.encode()], "key 1 .* malformed", id="list-of-bytes"),
        pytest.param(lambda: [KEY, 7], "key 2 .* malformed", id="number"),
        pytest.param(lambda: [KEY, OLDER[:-9]], "key 2 .* malformed", id="cut"),
    ],
)
async def test_what_are_no_keys(function, said):
    """The developer's move, and no key is shown."""
    with pytest.raises(ConfigurationError, match=said) as raised:
        await Keyring(function).load()
    shown = "".join(traceback.format_exception(raised.value))
    assert KEY not in shown
    assert OLDER[:-9] not in shown


async def test_before_it_was_asked():
    """A keyring without its keys opens nothing, and says why."""
    keyring = Keyring(Service([KEY]))
    assert repr(keyring) == "<Keyring, not asked for yet>"
    with pytest.raises(ConfigurationError, match="not asked for yet"):
        _ = keyring.active
    await keyring.load()
    assert repr(keyring) == repr(Keyring([KEY]))
