"""Where calls go, and which URLs may see the token."""

from __future__ import annotations

import pytest
from yarl import URL

from everbearer.errors import ConfigurationError
from everbearer.transport._origin import ApiBase

API = ApiBase("https://api.example/test")


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        pytest.param("https://api.example/x", True, id="same"),
        pytest.param("https://api.example:443/x", True, id="default-port"),
        pytest.param("https://API.Example/x", True, id="letter-case"),
        pytest.param("wss://api.example/x", True, id="websocket"),
        pytest.param("https://user@api.example/x", True, id="userinfo"),
        pytest.param("http://api.example/x", False, id="plain-http"),
        pytest.param("http://api.example:443/x", False, id="plain-http-on-443"),
        pytest.param("ws://api.example/x", False, id="plain-websocket"),
        pytest.param("https://api.example:8443/x", False, id="other-port"),
        pytest.param("https://api.example.evil/x", False, id="longer-host"),
        pytest.param("https://evil.api.example/x", False, id="subdomain"),
        pytest.param("https://api.example./x", False, id="trailing-dot"),
        pytest.param("https://api.example@evil/x", False, id="host-as-user"),
    ],
)
def test_allows(url, allowed):
    """Scheme, host and port must all be the API's."""
    assert API.allows(URL(url)) is allowed


@pytest.mark.parametrize(
    ("base", "url", "whole"),
    [
        pytest.param("https://a/t", "/v1/o", "https://a/t/v1/o", id="path"),
        pytest.param("https://a/t/", "/v1/o", "https://a/t/v1/o", id="slash-once"),
        pytest.param("https://a", "/v1/o", "https://a/v1/o", id="no-prefix"),
        pytest.param("https://a/t", "v1/o", "https://a/t/v1/o", id="no-slash"),
        pytest.param("https://a/t", "", "https://a/t", id="empty"),
        pytest.param("https://a/t", "?b=1", "https://a/t?b=1", id="query-only"),
        pytest.param("https://a/t", "/o?q=a%2Fb", "https://a/t/o?q=a%2Fb", id="quoted"),
        pytest.param("https://a/t", "https://b/o", "https://b/o", id="absolute"),
        pytest.param("https://a/t?x=1#y", "/o", "https://a/t/o", id="base-with-query"),
    ],
)
@pytest.mark.parametrize("kind", [str, URL], ids=["str", "URL"])
def test_resolve(base, url, whole, kind):
    """A relative URL is appended to the base; no relative one leaves the host."""
    assert URL(ApiBase(base).resolve(kind(url))) == URL(whole)


def test_two_slashes_do_not_leave_the_host():
    """A relative text that begins with two slashes is a path like any other."""
    resolved = URL(ApiBase("https://a/t").resolve("//evil/o"))
    assert resolved == URL("https://a/t//evil/o")


def test_a_url_with_a_host_keeps_it():
    """A yarl URL with a host and no scheme is absolute, and thus not the API's."""
    resolved = URL(API.resolve(URL("//evil.example/o")))
    assert resolved.host == "evil.example"
    assert not API.allows(resolved)


def test_percent_encoding_survives():
    """What a yarl URL has encoded is neither decoded nor encoded twice."""
    url = URL("/o/a%2Fb?q=x%26y%2B", encoded=True)
    assert str(API.resolve(url)) == "https://api.example/test/o/a%2Fb?q=x%26y%2B"


@pytest.mark.parametrize(
    "base",
    [
        pytest.param("http://api.example", id="plain-http"),
        pytest.param("ftp://api.example", id="ftp"),
        pytest.param("api.example", id="no-scheme"),
        pytest.param("", id="empty"),
    ],
)
def test_bad_base(base):
    """A base that would send tokens in the clear, or nowhere, is refused."""
    with pytest.raises(ConfigurationError):
        ApiBase(base)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost"])
def test_loopback(host):
    """Plain http is for loopback."""
    assert ApiBase(f"http://{host}:8080").allows(URL(f"http://{host}:8080/x"))
