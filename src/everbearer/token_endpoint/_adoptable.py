"""Tokens that were obtained elsewhere, looked at before they are stored."""

from __future__ import annotations

from everbearer.errors import ConfigurationError
from everbearer.token_endpoint._response import is_acceptable_token
from everbearer.tokens import Token

__all__ = ["check_adoptable"]


def check_adoptable(token: object) -> None:
    """Let *token* pass if a provider could have issued it.

    Raises:
        ConfigurationError: It is no Token, or holds none, or none that is one.
    """
    if not isinstance(token, Token):
        raise ConfigurationError("adopt takes a Token: Token(access_token=..., ...)")
    if token.access_token is None and token.refresh_token is None:
        raise ConfigurationError("the Token to adopt holds no token at all")
    for name in ("access_token", "refresh_token"):
        text = getattr(token, name)
        if text is not None and not is_acceptable_token(text):
            raise ConfigurationError(
                f"the {name} to adopt is not one that a provider issues: "
                "printable ASCII, no spaces or line ends"
            )
