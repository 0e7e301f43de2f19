"""The directives ``decision-diagram``, ``decision-table`` and ``ending-table``.

They are drawn from the tables in `everbearer.refresh._decision` whenever the
documentation is built, so that the page cannot say anything else than the code does.
"""

from __future__ import annotations

from html import escape
from textwrap import wrap
from typing import TYPE_CHECKING, Final

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from everbearer.refresh._decision import DECISIONS, ENDINGS, Decision

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sphinx.application import Sphinx

    from everbearer.refresh._decision import Row

# What a decision costs, which is what the diagram's colours show.
USES: Final = "#2e7d32"
RAISES: Final = "#b3261e"
WAITS: Final = "#8a6d00"
SPENDS: Final = "#1f5fbf"
COLOURS: Final = {
    Decision.USE: USES,
    Decision.HAND_BACK: USES,
    Decision.AUTHORIZE: RAISES,
    Decision.END: RAISES,
    Decision.MISMATCH: RAISES,
    Decision.REMEMBERED: RAISES,
    Decision.WAIT: WAITS,
    Decision.LEASE: WAITS,
    Decision.SPEND: SPENDS,
    Decision.REPLAY: SPENDS,
    Decision.LAST_RESORT: SPENDS,
}

# Of the drawing, in its own units; the browser scales it.
STEP: Final = 46
BOX: Final = 34
CHARACTER: Final = 6.2
LEFT: Final = 470
RIGHT: Final = 130
WIDTH: Final = 8 + LEFT + 50 + RIGHT + 8


def asked(row: Row) -> str:
    """What *row* asks, in words."""
    return ", and ".join(sorted(fact.value for fact in row.facts)) or "otherwise"


def lines_of(text: str) -> list[str]:
    """*text* in as many lines as it needs."""
    return wrap(text, int((LEFT - 20) / CHARACTER))


def text_at(x: float, middle: float, lines: list[str], **style: str) -> Iterator[str]:
    """*lines* of text, centred on the height *middle*."""
    given = "".join(f' {name.replace("_", "-")}="{v}"' for name, v in style.items())
    first = middle + 4 - 6.5 * (len(lines) - 1)
    for number, line in enumerate(lines):
        y = first + 13 * number
        yield f'<text x="{x}" y="{y}"{given}>{escape(line)}</text>'


def steps() -> Iterator[str]:
    """A box for each row's question, and its decision on the right."""
    for number, row in enumerate(DECISIONS):
        top = 8 + STEP * number
        middle, colour = top + BOX / 2, COLOURS[row.decision]
        yield (
            f'<rect x="8" y="{top}" width="{LEFT}" height="{BOX}" rx="4" fill="none" '
            'stroke="currentColor" stroke-opacity=".5"/>'
        )
        yield from text_at(18, middle, lines_of(asked(row)), fill="currentColor")
        yield (
            f'<path d="M{8 + LEFT} {middle}h44" stroke="{colour}" stroke-width="2" '
            'marker-end="url(#yes)" fill="none"/>'
        )
        yield (
            f'<rect x="{58 + LEFT}" y="{top}" width="{RIGHT}" height="{BOX}" rx="17" '
            f'fill="{colour}"/>'
        )
        yield from text_at(
            58 + LEFT + RIGHT / 2,
            middle,
            [row.decision.name],
            fill="#fff",
            text_anchor="middle",
            font_weight="bold",
        )
        if number + 1 < len(DECISIONS):
            yield (
                f'<path d="M28 {top + BOX}v{STEP - BOX - 4}" stroke="currentColor" '
                'stroke-opacity=".5" marker-end="url(#no)" fill="none"/>'
            )


def drawing() -> str:
    """The decision table as an SVG element, in the page's own text colour."""
    height = 16 + STEP * len(DECISIONS)
    arrow = (
        '<marker id="{}" viewBox="0 0 6 6" refX="4" refY="3" markerWidth="6" '
        'markerHeight="6" orient="auto"><path d="M0 0L6 3L0 6z" '
        'fill="currentColor"/></marker>'
    )
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" style="max-width: 100%" '
        'font-size="12" font-family="sans-serif" '
        'xmlns="http://www.w3.org/2000/svg">'
        "<title>The decision table, from top to bottom; the rows below say the same"
        f"</title><defs>{arrow.format('yes')}{arrow.format('no')}</defs>"
        f"{''.join(steps())}</svg>"
    )


class DecisionDiagram(SphinxDirective):
    """Draws the decisions."""

    def run(self) -> list[nodes.Node]:
        """Put the drawing where the directive stands; other formats have the table."""
        return [nodes.raw("", f"<p>{drawing()}</p>", format="html")]


class DecisionTable(SphinxDirective):
    """Writes the decisions out."""

    def run(self) -> list[nodes.Node]:
        """A row for each row."""
        rows = [
            f"| {number} | {asked(row)} | `{row.decision.name}` | {row.why} |"
            for number, row in enumerate(DECISIONS, 1)
        ]
        head = ["| | if | then | because |", "| --- | --- | --- | --- |"]
        return self.parse_text_to_nodes("\n".join(head + rows))


class EndingTable(SphinxDirective):
    """Writes out what each unsuccessful answer leaves behind."""

    def run(self) -> list[nodes.Node]:
        """A row for each kind of answer."""
        rows = [
            f"| {kind.value.replace('_', ' ')} "
            f"| {'goes back to what it was' if ending.restore else '**stays**'} "
            f"| {ending.back_off.value} | {ending.why} |"
            for kind, ending in ENDINGS.items()
        ]
        head = [
            "| answer | the intent | remembered as | because |",
            "| --- | --- | --- | --- |",
        ]
        return self.parse_text_to_nodes("\n".join(head + rows))


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("decision-diagram", DecisionDiagram)
    app.add_directive("decision-table", DecisionTable)
    app.add_directive("ending-table", EndingTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
