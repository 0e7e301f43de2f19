"""One file for each provider that the sandbox can play.

A *seed* is the document that the provider publishes about its OAuth, and "PROVIDERS n"
a section of the maintainers' notes on what its other pages, its repositories and other
people's clients say.  What neither says is an assumption, and named as one.
"""

from typing import Final

from everbearer.sandbox._twin import Twin
from everbearer.sandbox._twins.billit import BILLIT
from everbearer.sandbox._twins.caminvoice import CAMINVOICE
from everbearer.sandbox._twins.flowaccount import FLOWACCOUNT
from everbearer.sandbox._twins.humansoft import HUMANSOFT
from everbearer.sandbox._twins.invoiced import INVOICED
from everbearer.sandbox._twins.standard import STANDARD

__all__ = ["PROVIDERS", "TWINS"]

TWINS: Final[dict[str, Twin]] = {
    each.name: each
    for each in (BILLIT, CAMINVOICE, FLOWACCOUNT, HUMANSOFT, INVOICED, STANDARD)
}
PROVIDERS: Final = tuple(TWINS)
