"""Serve a WSGI application from a program of its own, and keep a ledger of it.

The program reads its settings as a line of JSON from standard input, prints its URL,
and ends when standard input does: with the tests, whatever becomes of them.
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
import threading
from pathlib import Path
from socketserver import ThreadingMixIn
from urllib.parse import parse_qs
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer


def read_settings():
    """What the test asks for."""
    return json.loads(sys.stdin.readline())


def serve(application, ledger):
    """Answer on a free loopback port until standard input ends."""
    server = _Server(("127.0.0.1", 0), _Quiet)
    server.set_app(_Recorder(application, Path(ledger)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    sys.stdin.read()


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request, client_address):
        """A client that hangs up is no trouble of the server's."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        """The ledger has it."""


class _Recorder:
    """One line of JSON per request, written before its answer goes out."""

    def __init__(self, application, ledger):
        self._application = application
        self._ledger = ledger
        self._lock = threading.Lock()

    def __call__(self, environ, start_response):
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        form = parse_qs(body.decode(errors="replace"))
        entry = {
            "path": environ["PATH_INFO"],
            "grant": form.get("grant_type", [""])[0],
            "spent": _fingerprint(form.get("refresh_token", [""])[0]),
        }

        def start(status, headers, *more):
            line = json.dumps(entry | {"status": int(status[:3])})
            with self._lock, self._ledger.open("a") as ledger:
                ledger.write(line + "\n")
            return start_response(status, headers, *more)

        return self._application(environ, start)


def _fingerprint(secret):
    return hashlib.sha256(secret.encode()).hexdigest()[:16] if secret else ""
