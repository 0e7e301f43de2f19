"""The host of the services, in a network namespace of its own: does what it is told.

Arguments: the number of a socket.  What comes through it is JSON: ``run`` and ``input``
of a command, or ``listen``, an address at which a socket is to listen that goes back.
It ends when the socket is closed, which happens however the test ends.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys


def main(channel) -> None:
    """Serve."""
    while said := channel.recv(65536):
        order = json.loads(said)
        if "listen" in order:
            with socket.create_server((order["listen"], 0)) as listening:
                socket.send_fds(channel, [b"ok"], [listening.fileno()])
        else:
            done = subprocess.run(
                order["run"],
                input=order["input"].encode(),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                check=False,
            )
            channel.send(f"{done.returncode} {done.stdout.decode()}".encode())


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
