"""FIRST TOKEN: the connect link, its callback, and the exchange of the code."""

from everbearer.authorization._flow import Authorization, AuthorizationRequest

__all__ = ["Authorization", "AuthorizationRequest"]
