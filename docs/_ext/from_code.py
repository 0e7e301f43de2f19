"""The directives ``provider-table``, ``timing-table`` and ``command-help``.

What the code knows already is not written a second time: these tables are made from
providers' descriptions, from `Timing` and from the commands themselves.
"""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING

import click
from attrs import fields
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from everbearer import Timing, providers
from everbearer.cli._main import command
from everbearer.providers import AccessTokenSpan, Provider
from everbearer.providers._standard import STANDARD_ERROR_RULES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sphinx.application import Sphinx

ATTRIBUTE = re.compile(r"^    (\w+): (.*?)(?=\n\n|\Z)", re.MULTILINE | re.DOTALL)
SEVERAL = re.compile(r"^    (\w+(?:, \w+)+): (.*)$")
LETTER = re.compile(r"([A-Z]), ")


def known() -> Iterator[Provider]:
    """Every description that `everbearer.providers` offers."""
    for name in providers.__all__:
        offered = getattr(providers, name)
        if isinstance(offered, Provider):
            yield offered


def span(seconds: float | None) -> str:
    """Seconds as people say them; "none known" where nothing is published."""
    if seconds is None:
        return "none known"
    for name, length, least in (("days", 86400, 2), ("h", 3600, 1), ("min", 60, 2)):
        if seconds >= least * length and not seconds % length:
            return f"{seconds / length:g} {name}"
    return f"{seconds:g} s"


def lifetime(said: tuple[AccessTokenSpan, ...], default: float | None) -> str:
    """What answers say, and what holds where they do not."""
    names = ", ".join(f"`{each.name}`" for each in said)
    if default is None:
        return names or span(None)
    return f"{span(default)} (or {names})" if names else span(default)


def window(seconds: float) -> str:
    """A span that may be none."""
    return span(seconds) if seconds else "none"


def signals(provider: Provider) -> str:
    """What the API says when a token is no good."""
    said: dict[str, None] = {}
    for signal in provider.expiry_signals:
        status = "/".join(str(each) for each in sorted(signal.statuses))
        words = sorted(signal.values) or [signal.www_authenticate_error or ""]
        for word in words:
            what = f"`{word}`" if word else f"any {status}"
            said[f"{what}: {signal.verdict.name.lower()}"] = None
    return "<br>".join(said) or "none"


def refusals(provider: Provider) -> str:
    """What the token endpoint says beyond RFC 6749 section 5.2."""
    standard = {value for rule in STANDARD_ERROR_RULES for value in rule.values}
    said = [
        f"`{value}{'…' * rule.beginning}`: {rule.verdict.name.lower()}"
        for rule in provider.error_rules
        for value in sorted(rule.values - standard)
    ]
    missing = standard - {v for rule in provider.error_rules for v in rule.values}
    said += [f"`{value}`: unrecognised" for value in sorted(missing)]
    return "<br>".join(said).replace("too_early", "too early") or "as in the RFC"


def hosts(provider: Provider) -> str:
    """The API bases, by environment; the one that is chosen first."""
    ordered = sorted(provider.hosts, key=lambda name: name != provider.environment)
    said = (f"{name}: `{provider.hosts[name].api}`" for name in ordered)
    return "<br>".join(said) or "none published"


def quoted(names: Iterable[str]) -> str:
    """*names*, or that there are none."""
    return ", ".join(f"`{name}`" for name in names) or "none"


Facts = dict[str, "Callable[[Provider], str]"]

TABLES: dict[str, Facts] = {
    "How long tokens live": {
        "access token": lambda p: lifetime((), p.answer.default_lifetime),
        "refresh token": lambda p: lifetime(
            p.answer.refresh_spans, p.refresh_idle_lifetime
        ),
        "refresh tokens rotate": lambda p: p.rotation.replace("_", " "),
        "replay window": lambda p: window(p.replay_window),
        "minimum age": lambda p: window(p.minimum_age),
        "leeway": lambda p: span(p.leeway),
    },
    "Environments and headers": {
        "API, by environment": hosts,
        "identity headers": lambda p: quoted(h.name for h in p.identity_headers),
        "idempotency headers": lambda p: quoted(p.idempotency_headers),
    },
    "Requests": {
        "client authentication": lambda p: p.refresh.client_authentication,
        "token calls": lambda p: p.refresh.encoding,
        "redirect URI and code": lambda p: (
            f"`{p.authorize.redirect_uri_name}`, `{p.callback.code_name}`"
        ),
        "`response_type`": lambda p: str(p.authorize.response_type or "left out"),
        "PKCE": lambda p: p.pkce or "none",
        "scopes": lambda p: quoted(p.scopes),
        "revocation": lambda p: f"`{p.revoke.path}`" if p.revoke else "none",
        "kept": lambda p: quoted((*p.callback.keep_extra, *p.answer.keep_extra)),
        "asked once connected": lambda p: (
            f"`{p.account_facts.path}`" if p.account_facts else "nothing"
        ),
    },
    "Refusals": {
        "the API on a token": signals,
        "the token endpoint": refusals,
    },
}


class ProviderTable(SphinxDirective):
    """Writes out the descriptions."""

    def run(self) -> list[nodes.Node]:
        """A table for each kind of facts, a row for each provider."""
        lines: list[str] = []
        for title, facts in TABLES.items():
            lines += [
                f"**{title}**",
                "",
                "| | " + " | ".join(facts) + " |",
                "| --- |" + " --- |" * len(facts),
                *(
                    f"| {each.name} | "
                    + " | ".join(fact(each) for fact in facts.values())
                    + " |"
                    for each in known()
                ),
                "",
            ]
        return self.parse_text_to_nodes("\n".join(lines))


class TimingTable(SphinxDirective):
    """Writes out the arguments of `Timing`."""

    def run(self) -> list[nodes.Node]:
        """A row for each argument: name, letter, default and meaning."""
        told = dict(ATTRIBUTE.findall(inspect.cleandoc(Timing.__doc__ or "")))
        lines = [
            "| argument | letter | default | what it is |",
            "| --- | --- | --- | --- |",
        ]
        for each in fields(Timing):
            meaning = " ".join(told[each.name].split())
            letter = LETTER.match(meaning)
            if letter:
                meaning = meaning[letter.end() :]
            lines.append(
                f"| `{each.name}` | {letter[1] if letter else ''} "
                f"| {each.default:g} s | {meaning[0].upper()}{meaning[1:]} |"
            )
        return self.parse_text_to_nodes("\n".join(lines))


class CommandHelp(SphinxDirective):
    """Shows what ``everbearer VERB --help`` prints; a verb may have verbs."""

    required_arguments = 1
    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The text as it comes, 80 columns wide."""
        context = click.Context(
            command, info_name="everbearer", **command.context_settings
        )
        found: click.Command = command
        for verb in self.arguments:
            found = found.commands[verb]  # type: ignore[attr-defined]
            context = click.Context(found, context, info_name=verb)
        text = found.get_help(context)
        return [nodes.literal_block(text, text, language="none")]


def without_private(
    _app: Sphinx, _what: str, _name: str, _it: object, _options: object, *told: str
) -> tuple[str, str] | None:
    """A signature without the arguments that begin with an underscore."""
    arguments, returns = told
    if not arguments or ", _" not in arguments:
        return None
    return re.sub(r", _\w+: [^,)]*", "", arguments), returns


def one_by_one(
    _app: Sphinx,
    _what: str,
    _name: str,
    _it: object,
    _options: object,
    lines: list[str],
) -> None:
    """Make two attributes of "a, b: what both are", which napoleon misreads."""
    for start in range(len(lines) - 1, -1, -1):
        if found := SEVERAL.match(lines[start]):
            end = start + 1
            while end < len(lines) and lines[end].startswith("        "):
                end += 1
            lines[start:end] = [
                line
                for name in found[1].split(", ")
                for line in (f"    {name}: {found[2]}", *lines[start + 1 : end], "")
            ]


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("autodoc-process-signature", without_private)
    app.connect("autodoc-process-docstring", one_by_one, priority=400)
    app.add_directive("provider-table", ProviderTable)
    app.add_directive("timing-table", TimingTable)
    app.add_directive("command-help", CommandHelp)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
