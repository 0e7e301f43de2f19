"""Where an account's calls go, and where its token may go (RFC 6454 section 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from yarl import URL

from everbearer.providers import check_base_url

if TYPE_CHECKING:
    from aiohttp.typedefs import StrOrURL

__all__ = ["ApiBase"]

_WEBSOCKET: Final = {"https": "wss", "http": "ws"}
_MOST_KNOWN: Final = 1000


class ApiBase:
    """The API's base URL; its origin is the only one that gets the token.

    Args:
        base: Scheme, host, port and path prefix; https, or http to loopback.

    Attributes:
        known: Relative paths that were called lately, and the whole URLs.

    Raises:
        ConfigurationError: It is not such a URL.
    """

    __slots__ = ("_base", "_host", "_port", "_schemes", "known", "url")

    def __init__(self, base: str) -> None:
        url = check_base_url(base, "API base URL")
        self.url = url.with_query(None).with_fragment(None).with_user(None)
        self._base = str(self.url).rstrip("/")
        self._schemes = (url.scheme, _WEBSOCKET[url.scheme])
        self._host = url.raw_host
        self._port = url.port
        self.known: dict[StrOrURL, URL] = {}

    def allows(self, url: URL) -> bool:
        """Whether *url* is on the API's origin: scheme, host and port all the same.

        A WebSocket URL counts as the http(s) URL that it is opened by (RFC 6455
        section 3).
        """
        return (
            url.raw_host == self._host
            and url.port == self._port
            and url.scheme in self._schemes
        )

    def resolve(self, url: StrOrURL) -> StrOrURL:
        """Append a relative *url* to the base, prefix included; leave an absolute one.

        ``/v1/orders`` is relative to the whole base, not only to its host: a base
        such as ``https://api.example/sandbox`` stays in force.  So is ``//x/y``: a
        reference without a scheme never changes the host.
        """
        if isinstance(url, str):
            if url.startswith("/"):
                return self._remembered(url)
            if URL(url).scheme:
                return url
            return self._base + _separator(url) + url
        if url.absolute or url.scheme:
            return url
        relative = str(url)
        return URL(self._base + _separator(relative) + relative, encoded=True)

    def _remembered(self, path: str) -> URL:
        if len(self.known) >= _MOST_KNOWN:
            self.known.clear()
        url = self.known[path] = URL(self._base + path)
        return url


def _separator(relative: str) -> str:
    return "" if not relative or relative[0] in "/?#" else "/"
