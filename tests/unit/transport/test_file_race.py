"""A stale read of a file must not move it under the body that is sent again."""

from __future__ import annotations

import hashlib
import io
import os
import time

import aiohttp
import pytest

CONTENT = os.urandom(1 << 20) + os.urandom(1 << 18)


class SlowFile(io.FileIO):
    """A file on a slow disk: the server's refusal comes while it is being read."""

    def read(self, size=-1):
        time.sleep(0.03)
        return super().read(size)


class SlowText(io.TextIOWrapper):
    """The same, decoded."""

    def read(self, size=-1):
        time.sleep(0.03)
        return super().read(size)


def plain(file):
    return file


def in_form(file):
    data = aiohttp.FormData()
    data.add_field("f", file, filename="f.bin")
    return data


@pytest.mark.asyncio
@pytest.mark.parametrize("chunked", [None, True], ids=["content-length", "chunked"])
@pytest.mark.parametrize("wrap", [plain, in_form], ids=["plain", "in-form"])
async def test_slow_file(world, fetch, tmp_path, wrap, chunked):
    """A slow file that was refused early arrives whole the second time."""
    path = tmp_path / "slow.bin"
    path.write_bytes(CONTENT)
    api = world.api
    api.early = True
    status, _ = await fetch(
        world.session(), method="POST", data=wrap(SlowFile(path)), chunked=chunked
    )
    assert status == 200
    second = api.seen[-1]
    if wrap is plain:
        assert second.length == len(CONTENT)
        assert second.sha256 == hashlib.sha256(CONTENT).hexdigest()
    else:
        assert second.length > len(CONTENT)


@pytest.mark.asyncio
async def test_slow_text(api, acme, fetch, tmp_path):
    """A text file's position is a cookie; it is kept as one."""
    path = tmp_path / "slow.txt"
    content = "Ærø\n" * 200_000
    path.write_text(content, encoding="utf-8")
    api.early = True
    file = SlowText(path.open("rb"), encoding="utf-8", newline="")
    status, _ = await fetch(acme, method="POST", data=file)
    assert status == 200
    assert api.seen[-1].sha256 == hashlib.sha256(content.encode()).hexdigest()
