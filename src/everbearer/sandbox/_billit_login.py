"""Billit's login page: where a user allows or denies, and is sent back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import web
from yarl import URL

from everbearer.sandbox import _pages
from everbearer.sandbox._billit import LOGIN_PARAMETERS

if TYPE_CHECKING:
    from everbearer.sandbox._world import World

__all__ = ["LoginPage"]

_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_LONGEST_COMPANY: Final = 255


class _InvalidRequestError(Exception):
    """The connect link is wrong; the message says how."""


class LoginPage:
    """``/Account/Logon``: GET shows the page, POST is its form."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def show(self, request: web.Request) -> web.StreamResponse:
        """Answer the connect link."""
        if "redirect_uri" not in request.query:
            # "... if one or both are missing the request will result in an Invalid
            # OAuth2 request and the default Billit login page respectively."
            return _html(_pages.login())
        try:
            self._check(request)
        except _InvalidRequestError as error:
            return _html(_pages.refused(str(error)), 400)
        settings, grants = self._world.settings, self._world.grants
        return _html(
            _pages.consent(
                request.query["client_id"], settings.default_company, grants.companies
            )
        )

    async def decide(self, request: web.Request) -> web.StreamResponse:
        """Take the form, and send the user back with a code or an error."""
        form = await request.post()
        decision = form.get("decision")
        company = str(form.get("company") or self._world.settings.default_company)
        try:
            self._check(request)
            _check_form(str(decision), company)
        except _InvalidRequestError as error:
            return _html(_pages.refused(str(error)), 400)
        query = request.query
        if decision == "deny":
            result = {"error": "access_denied"}
        else:
            code = self._world.grants.new_code(
                company, query["client_id"], query["redirect_uri"]
            )
            result = {"code": code}
        if "state" in query:
            # "... parameters following the & will not be returned in the state"
            result["state"] = query["state"].partition("&")[0]
        back = URL(query["redirect_uri"]).with_query(result)
        return web.Response(
            status=302, headers={"Location": str(back), "Cache-Control": "no-store"}
        )

    def _check(self, request: web.Request) -> None:
        query = request.query
        if unknown := sorted(set(query) - LOGIN_PARAMETERS):
            message = f"unknown parameters: {', '.join(unknown)}"
            raise _InvalidRequestError(message)
        if len(query) != len(set(query)):
            message = "a parameter is given twice"
            raise _InvalidRequestError(message)
        for name in ("client_id", "redirect_uri"):
            if not query.get(name):
                message = f"{name} is missing"
                raise _InvalidRequestError(message)
        if self._world.settings.client(query["client_id"]) is None:
            message = "unknown client_id"
            raise _InvalidRequestError(message)
        self._check_redirect(query["redirect_uri"])

    def _check_redirect(self, text: str) -> None:
        try:
            url = URL(text)
        except ValueError:
            url = URL()
        if url.scheme not in ("http", "https") or not url.host:
            message = "redirect_uri is not a web address"
            raise _InvalidRequestError(message)
        if "?" in text or "#" in text:
            message = "redirect_uri must not have query parameters; use the state"
            raise _InvalidRequestError(message)
        if url.host in _LOOPBACK:
            return
        if not any(_fits(text, each) for each in self._world.settings.redirect_uris):
            message = "redirect_uri is not registered"
            raise _InvalidRequestError(message)


def _fits(text: str, registered: str) -> bool:
    """Compare exactly, but for the wildcard that Billit can set."""
    if registered.endswith("*"):
        return text.startswith(registered[:-1])
    return text == registered


def _check_form(decision: str, company: str) -> None:
    if decision not in ("allow", "deny"):
        message = "decision has to be allow or deny"
        raise _InvalidRequestError(message)
    if len(company) > _LONGEST_COMPANY or not company.isprintable():
        message = "the company's name has up to 255 printable characters"
        raise _InvalidRequestError(message)


def _html(page: str, status: int = 200) -> web.Response:
    return web.Response(
        text=page,
        status=status,
        content_type="text/html",
        headers={"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"},
    )
