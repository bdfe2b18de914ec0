"""Pages of a connection: empty ones are passed, and no page is asked for twice."""

import pytest

from backend.errors import ShopifyUnavailable
from backend.shops.media_responses import FilesPage
from backend.shops.pagination import MAX_EMPTY_PAGES, PageCursor
from backend.shops.shopify_responses import PageInfo


def page(end: str | None, *, has_next: bool = True) -> FilesPage:
    """A page without nodes."""
    return FilesPage(nodes=[], page_info=PageInfo(has_next_page=has_next, end_cursor=end))


def test_an_empty_page_leads_to_the_next() -> None:
    cursor = PageCursor()
    assert cursor.advance(page("a"))
    assert cursor.after == "a"
    assert not cursor.advance(page(None, has_next=False))
    assert not cursor.advance(page("b", has_next=False))


@pytest.mark.parametrize("ends", [[None], ["a", "a"], ["a", None], ["a", "b", "a"]])
def test_a_cursor_that_was_used_before_is_an_outage(ends: list[str | None]) -> None:
    cursor = PageCursor()
    for end in ends[:-1]:
        assert cursor.advance(page(end))
    with pytest.raises(ShopifyUnavailable, match="does not advance"):
        cursor.advance(page(ends[-1]))


def test_a_resumed_cursor_does_not_return_to_its_start() -> None:
    with pytest.raises(ShopifyUnavailable, match="does not advance"):
        PageCursor("a").advance(page("a"))


def test_empty_pages_without_end_are_an_outage() -> None:
    cursor = PageCursor()
    for number in range(MAX_EMPTY_PAGES):
        assert cursor.advance(page(str(number)))
    with pytest.raises(ShopifyUnavailable, match="empty pages"):
        cursor.advance(page("one too many"))
