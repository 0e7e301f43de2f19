"""The login page of any twin: where a user allows or denies, and is sent back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import web
from yarl import URL

from everbearer.sandbox import _pages
from everbearer.sandbox._twin import InvalidLinkError

if TYPE_CHECKING:
    from everbearer.sandbox._world import World

__all__ = ["LoginPage"]

_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_LONGEST_COMPANY: Final = 255


class LoginPage:
    """The twin's login path: GET shows the page, POST is its form."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._login = world.twin.login

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Add the routes to an application."""
        path = self._world.twin.login_base + self._login.path
        router.add_get(path, self.show)
        router.add_post(path, self.decide)

    async def show(self, request: web.Request) -> web.StreamResponse:
        """Answer the connect link."""
        without = self._login.without_redirect
        if without is not None and self._login.redirect_name not in request.query:
            return _html(without())
        try:
            self._check(request)
        except InvalidLinkError as error:
            return self._refused(error)
        settings, grants = self._world.settings, self._world.grants
        return _html(
            _pages.consent(
                self._world.twin.title,
                request.query["client_id"],
                settings.default_company,
                grants.companies,
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
        except InvalidLinkError as error:
            return self._refused(error)
        query, login = request.query, self._login
        if decision == "deny":
            # RFC 6749 section 4.1.2.1, also where a document is silent.
            result = {"error": "access_denied"}
        else:
            result = {login.code_name: self._code(request, company)}
            result |= {name: query[name] for name in login.returns if name in query}
            result |= login.tells(company)
        if "state" in query and self._world.settings.state_returns:
            result["state"] = login.state(query["state"])
        back = self._back(query[login.redirect_name], result)
        return web.Response(
            status=302, headers={"Location": back, "Cache-Control": "no-store"}
        )

    def _code(self, request: web.Request, company: str) -> str:
        query = request.query
        return self._world.grants.new_code(
            company,
            query["client_id"],
            query[self._login.redirect_name],
            scope=query.get("scope", ""),
            challenge=query.get("code_challenge"),
            method=query.get("code_challenge_method", "plain"),
        )

    def _back(self, redirect: str, result: dict[str, str]) -> str:
        """Append to the redirect URI, whose own query stays as it is."""
        base = str(URL(redirect))
        naive = self._world.settings.naive_callbacks
        mark = "&" if "?" in base and not naive else "?"
        return f"{base}{mark}{URL().with_query(result).raw_query_string}"

    def _refused(self, error: InvalidLinkError) -> web.Response:
        if error.answer is not None:
            return error.answer.response()
        return _html(_pages.refused(self._world.twin.title, str(error)), 400)

    def _check(self, request: web.Request) -> None:
        query, login = request.query, self._login
        if unknown := sorted(set(query) - login.parameters):
            raise InvalidLinkError(f"unknown parameters: {', '.join(unknown)}")
        if len(query) != len(set(query)):
            raise InvalidLinkError("a parameter is given twice")
        for name in login.required:
            if not query.get(name):
                raise InvalidLinkError(f"{name} is missing")
        if self._world.settings.client(query["client_id"]) is None:
            raise InvalidLinkError("unknown client_id", login.unregistered)
        self._check_redirect(query[login.redirect_name])
        login.check(query, self._world.settings)

    def _check_redirect(self, text: str) -> None:
        login, name = self._login, self._login.redirect_name
        try:
            url = URL(text)
        except ValueError:
            url = URL()
        if url.scheme not in ("http", "https") or not url.host:
            raise InvalidLinkError(f"{name} is not a web address", login.unregistered)
        if "?" in text and not login.redirect_query:
            message = f"{name} must not have query parameters; use the state"
            raise InvalidLinkError(message)
        if "#" in text:  # RFC 6749 section 3.1.2
            raise InvalidLinkError(f"{name} must not have a fragment")
        if url.host in _LOOPBACK:
            return
        registered = self._world.settings.redirect_uris
        if not any(_fits(text, each, wildcards=login.wildcards) for each in registered):
            raise InvalidLinkError(f"{name} is not registered", login.unregistered)


def _fits(text: str, registered: str, *, wildcards: bool) -> bool:
    """Compare exactly, as RFC 6749 section 3.1.2.3 does, but for a wildcard."""
    if wildcards and registered.endswith("*"):
        return text.startswith(registered[:-1])
    return text == registered


def _check_form(decision: str, company: str) -> None:
    if decision not in ("allow", "deny"):
        raise InvalidLinkError("decision has to be allow or deny")
    if len(company) > _LONGEST_COMPANY or not company.isprintable():
        raise InvalidLinkError("the company's name has up to 255 printable characters")


def _html(page: str, status: int = 200) -> web.Response:
    return web.Response(
        text=page,
        status=status,
        content_type="text/html",
        headers={"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"},
    )
