"""The context of an Admin API request: the calling app, for one shop, with its granted scopes."""

import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from backend.dev.shopify import scopes
from backend.dev.shopify.catalogue import Catalogue
from backend.dev.shopify.charges import Charge
from backend.dev.shopify.connections import PageFault, Resolver
from backend.dev.shopify.products import ProductRecord
from backend.dev.shopify.refusals import Refusal, access_denied, error
from backend.dev.shopify.state import ChargeEvent, Event, Platform, ShopRecord

MAX_INPUT_SIZE = 250  # entries of a list that is an argument

Arguments = dict[str, Any]
"""The arguments of a field, as GraphQL names them."""

_GID = re.compile(r"gid://shopify/(?P<kind>[A-Za-z]+)/(?P<number>[0-9]{1,19})")


@dataclass(frozen=True, slots=True)
class GraphQlContext:
    """What a resolver may use: the platform, and the shop whose token the request carries."""

    platform: Platform
    shop: ShopRecord

    @property
    def catalogue(self) -> Catalogue:
        """The products and files of all shops; asking for another's is this side's to refuse."""
        return self.platform.catalogue

    def product(self, gid: str) -> ProductRecord | None:
        """The shop's product. Raises a top-level error for an id that is not a product's."""
        return self.catalogue.product(self.shop.number, number_of(gid, "Product"))

    def page_faults(self, name: str) -> "deque[PageFault]":
        """The faults that are due for this connection's next pages."""
        return self.platform.page_faults[name]

    def changed(self, product: ProductRecord) -> ProductRecord:
        """Store what a mutation has made of a product; a webhook will tell."""
        stored = self.catalogue.put(product, self.platform.now())
        self.platform.events.append(Event(self.shop.domain, "products/update", stored.id))
        return stored

    def charges_changed(self, charges: Iterable[Charge]) -> None:
        """Have webhooks tell of charges whose status has changed."""
        self.platform.events += [
            ChargeEvent(self.shop.domain, charge.topic, charge.number) for charge in charges
        ]

    def query(self, field: str, work: Callable[[Arguments], object]) -> Resolver:
        """The resolver of a root field that reads."""

        def resolve(_info: object, **arguments: Any) -> object:
            self._require(field)
            _check_sizes(arguments)
            return work(arguments)

        return resolve

    def mutation(
        self,
        field: str,
        work: Callable[[Arguments], Mapping[str, object]],
        **refused: object,
    ) -> Resolver:
        """The resolver of a root field that writes, all or nothing.

        `work` gives the payload without its userErrors; `refused` is the payload of a refusal.
        """

        def resolve(_info: object, **arguments: Any) -> object:
            self._require(field)
            _check_sizes(arguments)
            due = self.platform.next_refusal(field)
            try:
                if due is not None:
                    raise due
                return {"userErrors": [], "mediaUserErrors": [], **work(arguments)}
            except Refusal as refusal:
                errors = [refusal.user_error]
                return {**refused, "userErrors": errors, "mediaUserErrors": errors}

        return resolve

    def _require(self, field: str) -> None:
        if not scopes.opens_field(self.shop.scopes, field):
            raise access_denied(field, scopes.OPENED_BY[field])


def kind_of(gid: str) -> str | None:
    """The type that a global id names, or None when it is not one."""
    found = _GID.fullmatch(gid)
    return None if found is None else found["kind"]


def number_of(gid: str, kind: str) -> int:
    """The number in a global id of that type. Raises a top-level error."""
    found = _GID.fullmatch(gid)
    if found is None or found["kind"] != kind:
        raise error(f"Invalid global id '{gid}'", "argumentLiteralsIncompatible")
    return int(found["number"])


def _check_sizes(value: object) -> None:
    """No list among the arguments may have more than 250 entries, at any depth."""
    if isinstance(value, dict):
        for each in value.values():
            _check_sizes(each)
    elif isinstance(value, list):
        if len(value) > MAX_INPUT_SIZE:
            raise error(
                f"The input array size of {len(value)} is greater than the maximum allowed of "
                f"{MAX_INPUT_SIZE}.",
                "MAX_INPUT_SIZE_EXCEEDED",
            )
        for each in value:
            _check_sizes(each)
