"""Base URLs that secrets may travel to."""

from __future__ import annotations

from ipaddress import ip_address

from yarl import URL

from everbearer.errors import ConfigurationError

__all__ = ["check_base_url", "is_loopback"]


def is_loopback(host: str | None) -> bool:
    """Whether *host* is this machine, where plain http keeps a secret a secret."""
    if host == "localhost":
        return True
    try:
        # Parsed: 127.0.0.1.example is a name that anybody can own.
        return ip_address(host or "").is_loopback
    except ValueError:
        return False


def check_base_url(base: object, what: str) -> URL:
    """Return *base* as a URL that may carry secrets, or say what is wrong with it."""
    try:
        url = URL(base) if isinstance(base, str) else URL()
    except ValueError:
        url = URL()
    if url.scheme not in {"http", "https"} or not url.host:
        raise ConfigurationError(
            f"{what}: not an absolute http(s) URL; give scheme and host"
        )
    if url.raw_user is not None or url.raw_password is not None:
        # Base URLs are printed: in errors, and in a Provider's repr.
        raise ConfigurationError(
            f"{what}: leave user name and password out of the URL; only tokens and "
            "client credentials are sent there"
        )
    if url.scheme == "http" and not is_loopback(url.host):
        raise ConfigurationError(
            f"{what}: tokens would travel over plain http to {url.host}; use https "
            "(http is for loopback only)"
        )
    return url
