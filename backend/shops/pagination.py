"""Walks through a connection of Shopify's, page by page.

A page can be empty and still have a next one, because Shopify filters after it has cut the pages.
A page can also name itself as the next one: then Shopify's answer is at fault, and asking again
later can help.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from backend.errors import ShopifyUnavailable
from backend.shops.shopify_responses import PageInfo

MAX_EMPTY_PAGES = 50  # in a row


class ConnectionPage(Protocol):
    """What every connection returns."""

    @property
    def nodes(self) -> Sequence[Any]: ...
    @property
    def page_info(self) -> PageInfo: ...


class PageCursor:
    """The position in a connection; `after` is the argument of the next request."""

    def __init__(self, after: str | None = None) -> None:
        self.after = after
        self.used = {None, after}
        self.empty_pages = 0

    def advance(self, page: ConnectionPage) -> bool:
        """Move behind the page; False if it was the last one.

        Raises `ShopifyUnavailable` if there is a next page but no way to reach it.
        """
        info = page.page_info
        if not info.has_next_page:
            return False
        self.empty_pages = 0 if page.nodes else self.empty_pages + 1
        if info.end_cursor in self.used:
            raise ShopifyUnavailable("Shopify returned a page whose cursor does not advance.")
        if self.empty_pages > MAX_EMPTY_PAGES:
            raise ShopifyUnavailable(f"Shopify returned {self.empty_pages} empty pages in a row.")
        self.used.add(info.end_cursor)
        self.after = info.end_cursor
        return True
