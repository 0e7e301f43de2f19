"""How each provider lists documents: what ``everbearer sync`` copies.

A table with provenance, like the providers' descriptions; beside them and not in them,
because the SDK itself never asks what an API's documents are called.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from attrs import field, frozen

from everbearer.errors import ConfigurationError

__all__ = ["LISTINGS", "Listing"]


@frozen
class Listing:
    """A list of documents in pages, or one document that is always the same.

    Attributes:
        path: Of the list, below the API base.

        id: Name of the member that tells documents apart.

        items: Names of the members that lead to the list; none if the answer is it.

        size: Parameter with the number of documents per page; empty for one document.

        page, offset: Parameter with the number of the page, from 1, or with the number
            of documents before it.

        largest: The most per page.

        fixed: Further parameters.
    """

    path: str
    id: str
    items: tuple[str, ...] = ()
    size: str = ""
    page: str = ""
    offset: str = ""
    largest: int = 100
    fixed: Mapping[str, str] = field(factory=dict)

    def query(self, page: int, size: int) -> dict[str, str]:
        """Parameters that ask for page number *page*, from 0."""
        if not self.size:
            return dict(self.fixed)
        where = {self.page: page + 1} if self.page else {self.offset: page * size}
        asked = {self.size: size, **where}
        return {**self.fixed, **{name: str(value) for name, value in asked.items()}}

    def ids(self, answer: Any) -> list[str]:  # noqa: ANN401 - whatever JSON says
        """The ids of the documents in *answer*.

        Raises:
            ConfigurationError: It does not look as it should.
        """
        try:
            for name in self.items:
                answer = answer[name]
            documents = answer if self.size else [answer]
            return [str(document[self.id]) for document in documents]
        except (KeyError, TypeError) as error:
            raise ConfigurationError(
                f"the answer of {self.path} is no list as the configuration says: "
                f"{type(error).__name__}"
            ) from error


LISTINGS: Final = {
    # odata.md.
    "billit": Listing(
        "/v1/orders", "OrderID", ("Items",), "$top", offset="$skip", largest=120
    ),
    # e-invoice-api-doc: GET /api/v1/document.
    "caminvoice": Listing(
        "/api/v1/document",
        "document_id",
        ("data",),
        "size",
        page="page",
        fixed={"type": "send"},
    ),
    # openapi.yaml of the SDK; both paging parameters are required.
    "flowaccount": Listing(
        "/tax-invoices", "recordId", ("data", "list"), "pageSize", page="currentPage"
    ),
    # An HR product: what its token opens is userinfo.
    "humansoft": Listing("/oauth2/v1/userinfo", "sub"),
    # "Pagination": per_page up to 100.
    "invoiced": Listing("/invoices", "id", (), "per_page", page="page"),
}
