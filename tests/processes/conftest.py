"""Hosts with addresses of their own: network namespaces, joined by a bridge.

A host is a process, and its address is in no other namespace: what it sends crosses a
cable that can be cut, and then vanishes, without a word to either end.  The services
stay where they are; a door at an address of the network passes on to them.

Neither root nor a name is needed: the namespaces belong to a user namespace, and end
with their processes, however these end.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from attrs import define

HUB = Path(__file__).with_name("hub.py")
# RFC 5737: for examples, routed nowhere.
SERVICES = "192.0.2.1"
FIRST_HOST = 11

_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
# Of its own: it would take a port's, and answer at a cable that is cut.
_BRIDGE = "02:00:5e:00:53:01"
_RESET_WHEN_CLOSED = struct.pack("ii", 1, 0)


def _ip():
    return shutil.which("ip", path=_PATH)


@functools.cache
def unsharing():
    """The command that gives a program a network namespace; None: there is no way.

    Root may be in a container that forbids user namespaces.
    """
    if not (_ip() and shutil.which("nsenter") and shutil.which("unshare")):
        return None
    trying = [
        "sh",
        "-c",
        f"{_ip()} link add a0 type bridge && {_ip()} link add a1 type veth",
    ]
    for user in (["--user", "--map-root-user"], []):
        command = ["unshare", *user, "--net"]
        tried = subprocess.run([*command, *trying], capture_output=True, check=False)
        if tried.returncode == 0:
            return command
    return None


@define(frozen=True)
class Place:
    """Where a host is.

    Attributes:
        address: Its own.

        cable: The interface at the other end of its cable.
    """

    address: str
    cable: str


class Network:
    """A bridge, the host of the services, and hosts that join."""

    services = SERVICES

    def __enter__(self):
        self._unsharing = unsharing()
        self._doors = []
        self._numbers = itertools.count(FIRST_HOST)
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel.settimeout(30)
        with theirs:
            self._hub = subprocess.Popen(
                [*self._unsharing, sys.executable, HUB, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
            )
        self._ip(
            "link set lo up",
            f"link add bridge address {_BRIDGE} type bridge",
            f"address add {SERVICES}/24 dev bridge",
            "link set bridge up",
        )
        return self

    def __exit__(self, *_):
        for door in self._doors:
            door.close()
        self._channel.close()
        self._hub.wait(30)

    def command(self, *words):
        """*words* as a command on a host that has yet to join."""
        user = ["--user", "--preserve-credentials"]
        entering = ["nsenter", "--target", str(self._hub.pid), "--net"]
        if "--user" in self._unsharing:
            entering += user
        return [*entering, "unshare", "--net", *words]

    def join(self, pid):
        """Give the host of the process *pid* an address and a cable."""
        number = next(self._numbers)
        place = Place(f"192.0.2.{number}", f"cable{number}")
        self._ip(
            f"link add {place.cable} type veth peer name eth0 netns {pid}",
            f"link set {place.cable} master bridge up",
        )
        self._ip(
            "link set lo up",
            f"address add {place.address}/24 dev eth0",
            "link set eth0 up",
            inside=["nsenter", "--target", str(pid), "--net"],
        )
        return place

    def cut(self, place):
        """From now on nothing gets through, and nobody is told."""
        self._ip(f"link set {place.cable} nomaster")

    def mend(self, place):
        """All is well again."""
        self._ip(f"link set {place.cable} master bridge")

    def forget(self, place):
        """The services give up what they have with a host; it is not told either."""
        for door in self._doors:
            door.forget(place.address)

    async def door(self, there):
        """Make *there*, host and port or a path, reachable; the new port."""
        self._tell(listen=SERVICES)
        _, (number,), *_ = socket.recv_fds(self._channel, 16, 1)
        door = Door(there)
        self._doors.append(door)
        return await door.open(socket.socket(fileno=number))

    def _ip(self, *commands, inside=()):
        self._tell(
            run=[*inside, _ip(), "-batch", "-"],
            input="\n".join(commands),
        )
        said = self._channel.recv(65536).decode()
        assert said == "0 ", (commands, said)

    def _tell(self, **order):
        self._channel.send(json.dumps(order).encode())


class Door:
    """Passes on what comes to an address of the network."""

    def __init__(self, there):
        self._there = there
        self._passing = {}

    async def open(self, listening):
        self._server = await asyncio.start_server(self._serve, sock=listening)
        return listening.getsockname()[1]

    def close(self):
        self._server.close()
        for way in self._passing:
            way.cancel()

    def forget(self, address):
        for way, (peer, writer) in self._passing.items():
            if peer == address:
                # What is closed in an orderly way would be sent again when all is well.
                connection = writer.get_extra_info("socket")
                connection.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, _RESET_WHEN_CLOSED
                )
                writer.transport.abort()
                way.cancel()

    async def _serve(self, reader, writer):
        way = asyncio.current_task()
        self._passing[way] = writer.get_extra_info("peername")[0], writer
        try:
            await self._pass_on(reader, writer)
        finally:
            writer.close()
            del self._passing[way]

    async def _pass_on(self, reader, writer):
        if isinstance(self._there, str):
            further = await asyncio.open_unix_connection(self._there)
        else:
            further = await asyncio.open_connection(*self._there)
        ways = {
            asyncio.create_task(_copy(reader, further[1])),
            asyncio.create_task(_copy(further[0], writer)),
        }
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in ways:
                each.cancel()
            further[1].close()


async def _copy(reader, writer):
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()


@pytest.fixture(name="network")
def _network():
    """A network of hosts, which ends with the test."""
    if unsharing() is None:
        pytest.skip(
            "network namespaces need Linux, iproute2, and root or user namespaces"
        )
    with Network() as network:
        yield network
