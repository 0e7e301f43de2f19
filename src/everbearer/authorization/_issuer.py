"""Who sent the user back?  RFC 9207, against mix-up.  Pure: no I/O, no clock.

In a mix-up (RFC 9700 section 4.4) one authorization server has the user log in at
another, so that the other's code comes back under a state of its own, and is then
brought to the wrong token endpoint.  ``iss`` says whose code it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from everbearer.errors import CallbackError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from everbearer.providers import Registration

__all__ = ["check_issuer"]


def check_issuer(
    said: str | None, name: str, registrations: Mapping[str, Registration]
) -> None:
    """Refuse a callback, with a code or an error, that another server has sent.

    Section 2.4, in its order: compared as strings, without normalization; a callback
    without ``iss`` is refused where the server promises one; and one with it is
    refused where nobody has said what it should be, if there is another server that
    it could be from.

    Args:
        said: ``iss`` as it came, if it did.

        name: Of the registration that the authorization was started for.

        registrations: All of the Client's.

    Raises:
        CallbackError: ``issuer``.
    """
    registration = registrations.get(name)
    if registration is None:
        # Another process's: the exchange says so, with what to change.
        return
    provider = registration.provider
    expected = provider.base.issuer
    if expected is None:
        if said is not None and _several(registrations):
            raise CallbackError(
                "issuer",
                f"it names its issuer, and with several providers that has to be the "
                f"one of {name!r}: declare it (Hosts.issuer, or issuer= of "
                "standard_provider)",
            )
        return
    if said is None:
        if provider.callback.returns_issuer:
            raise CallbackError("issuer", f"it does not say that {expected} sent it")
        return
    if said != expected:
        raise CallbackError("issuer", f"it was not sent by {expected}")


def _several(registrations: Mapping[str, Registration]) -> bool:
    """Whether users are sent to more than one place to log in."""
    return len({each.provider.base.login for each in registrations.values()}) > 1
