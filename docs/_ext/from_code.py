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
from everbearer.providers import ExpirySignal, Provider

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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


def signals(provider: Provider) -> str:
    """What the API says when a token is no good, as a list of codes."""
    said = {
        f"{told}: {signal.verdict.name.lower()}": None
        for signal in provider.expiry_signals
        for told in telling(signal)
    }
    return ", ".join(said) or "none"


def telling(signal: ExpirySignal) -> list[str]:
    """Its codes, or where it has none its challenge, or else its statuses."""
    if signal.values:
        return [f"`{value}`" for value in sorted(signal.values)]
    if signal.www_authenticate_error is not None:
        return [f"`WWW-Authenticate: Bearer error={signal.www_authenticate_error}`"]
    return [f"any {status}" for status in sorted(signal.statuses)]


def hosts(provider: Provider) -> str:
    """The API bases, by environment."""
    return ", ".join(f"{name} `{at.api}`" for name, at in provider.hosts.items())


def quoted(names: tuple[str, ...]) -> str:
    """*names*, or that there are none."""
    return ", ".join(f"`{name}`" for name in names) or "none"


def idle(provider: Provider) -> str:
    """After how long a refresh token ends that nobody uses."""
    lifetime = provider.refresh_idle_lifetime
    return "not known to" if lifetime is None else f"after {lifetime:g} s"


FACTS: dict[str, Callable[[Provider], str]] = {
    "API": hosts,
    "connect link": lambda p: f"`{p.authorize.path}`",
    "redirect URI and code": lambda p: (
        f"`{p.authorize.redirect_uri_name}`, `{p.callback.code_name}`"
    ),
    "`response_type`": lambda p: str(p.authorize.response_type or "left out"),
    "token endpoint": lambda p: f"`{p.refresh.path}`",
    "client authentication": lambda p: p.refresh.client_authentication,
    "encoding of token calls": lambda p: p.refresh.encoding,
    "scopes": lambda p: quoted(p.scopes),
    "PKCE": lambda p: p.pkce or "none",
    "refresh tokens rotate": lambda p: p.rotation.replace("_", " "),
    "refresh tokens idle out": idle,
    "replay window": lambda p: f"{p.replay_window:g} s",
    "leeway": lambda p: f"{p.leeway:g} s",
    "revoke call": lambda p: f"`{p.revoke.path}`" if p.revoke else "none",
    "expiry signals": signals,
    "identity headers": lambda p: quoted(tuple(h.name for h in p.identity_headers)),
    "idempotency headers": lambda p: quoted(p.idempotency_headers),
}


class ProviderTable(SphinxDirective):
    """Writes out the descriptions."""

    def run(self) -> list[nodes.Node]:
        """A column for each provider."""
        described = list(known())
        lines = [
            "| | " + " | ".join(p.name for p in described) + " |",
            "| --- |" + " --- |" * len(described),
            *(
                f"| {what} | " + " | ".join(fact(p) for p in described) + " |"
                for what, fact in FACTS.items()
            ),
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
    """Shows what ``everbearer VERB --help`` prints."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The text as it comes, 80 columns wide."""
        verb = self.arguments[0]
        group = click.Context(
            command, info_name="everbearer", **command.context_settings
        )
        context = click.Context(command.commands[verb], group, info_name=verb)
        text = command.commands[verb].get_help(context)
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
