"""A Redis cluster: the store is on one node, and says so where that is not this one."""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack, closing

import pytest
from redis import Redis

from everbearer.errors import ConfigurationError, StoreError
from everbearer.stores import Keyring
from everbearer.stores.redis import RedisStore

pytestmark = pytest.mark.asyncio

KEY = Keyring.generate_key()
SLOTS = 16384
# A node's second port is 10,000 above its first one.
HIGHEST_PORT = 55_000


@pytest.fixture(name="nodes", scope="module")
def _nodes(own_redis):
    """Two: the first has every slot, the second none."""
    with ExitStack() as stack:
        nodes = []
        while len(nodes) < 2:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            node = own_redis(folder, cluster_enabled="yes")
            if node.port <= HIGHEST_PORT:
                nodes.append(stack.enter_context(node))
        first, second = (
            stack.enter_context(closing(Redis(port=node.port))) for node in nodes
        )
        first.execute_command("CLUSTER ADDSLOTS", *range(SLOTS))
        second.execute_command("CLUSTER MEET", "127.0.0.1", nodes[0].port)
        for client in (first, second):
            _wait_until_all_is_well(client)
        yield nodes


def _wait_until_all_is_well(client):
    for _ in range(400):
        info = client.execute_command("CLUSTER INFO")
        if info["cluster_state"] == "ok":
            return
        time.sleep(0.05)
    raise AssertionError(info)


async def test_on_the_node_that_has_its_keys(nodes, make, caplog):
    """It works as on any server, and says what a fail-over will cost."""
    store = RedisStore(nodes[0].url, Keyring([KEY]))
    await store.open()
    record = await store.put(make.key, make.grant())
    assert (await store.acquire(make.key, make.asked())).granted
    await store.replace(make.key, make.rotation(record))
    assert (await store.load(make.key)).token.refresh_token == "r1"
    assert [each.key async for each in store.list()] == [make.key]
    await store.aclose()
    assert "needs that one's URL" in caplog.text


async def test_on_another_node(nodes):
    """No redirection is followed; the error says what is needed."""
    with pytest.raises(ConfigurationError, match="use the URL of that node"):
        await RedisStore(nodes[1].url, Keyring([KEY])).open()


async def test_a_prefix_without_a_hash_tag(nodes):
    """It would spread a record and its indexes over the nodes."""
    with pytest.raises(ConfigurationError, match="in braces"):
        await RedisStore(nodes[0].url, Keyring([KEY]), prefix="tokens:").open()


async def test_keys_that_moved_while_it_was_open(nodes, make):
    """The error is one of the store, which is tried again, and says what is needed."""
    prefix = "{moving}:"
    store = RedisStore(nodes[0].url, Keyring([KEY]), prefix=prefix)
    await store.open()
    with (
        closing(Redis(port=nodes[0].port)) as first,
        closing(Redis(port=nodes[1].port)) as second,
    ):
        first.delete(f"{prefix}meta")
        slot = first.execute_command("CLUSTER KEYSLOT", prefix)
        there = second.execute_command("CLUSTER MYID").decode()
        for client in (second, first):
            client.execute_command("CLUSTER SETSLOT", slot, "NODE", there)
    with pytest.raises(StoreError, match="use the URL of that node"):
        await store.put(make.key, make.grant())
    await store.aclose()
