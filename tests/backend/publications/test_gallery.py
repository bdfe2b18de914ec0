"""What has to change for one gallery to become another."""

from hypothesis import given
from hypothesis import strategies as st

from backend.publications.gallery import (
    arranged,
    changed_alts,
    changed_links,
    moves,
    restored_order,
    with_later_edits,
    without_media,
)
from backend.shops.media_responses import Gallery, GalleryMedia

NAMES = list("abcdefgh")
ORDERS = st.permutations(NAMES)


def gallery(media: str, **variants: str | None) -> Gallery:
    """Media by their letters; those in capitals have another alt text."""
    shown = tuple(
        GalleryMedia(id=name.lower(), alt="new" if name.isupper() else "old") for name in media
    )
    return Gallery(media=shown, variants=variants)


@given(ORDERS, ORDERS)
def test_the_moves_produce_the_wanted_order(current: list[str], wanted: list[str]) -> None:
    order = list(current)
    for move in moves(current, wanted):
        order.remove(move.id)
        order.insert(move.position, move.id)
    assert order == wanted
    assert moves(order, wanted) == []


@given(ORDERS, st.dictionaries(st.sampled_from(NAMES), st.integers(1, 12), max_size=4))
def test_placed_items_get_their_position_and_the_rest_keep_their_order(
    current: list[str], places: dict[str, int]
) -> None:
    places = {name: place for place, name in {p: n for n, p in places.items()}.items()}
    order = arranged(current, places)
    assert sorted(order) == sorted(current)
    rest = [name for name in current if name not in places]
    assert [name for name in order if name not in places] == rest
    for name, place in places.items():
        if place <= len(rest) + 1:
            assert order[place - 1] == name
    assert arranged(order, places) == order, "doing it again changes nothing"


def test_the_original_order_is_restored_around_added_media() -> None:
    assert restored_order(list("dxbya"), gallery("abcd")) == list("axbyd")
    assert restored_order(list("xab"), gallery("ab")) == list("xab")


def test_only_differing_alt_texts_are_restored() -> None:
    before, now = gallery("abC"), gallery("ABcX")
    assert changed_alts(now, before) == {"a": "old", "b": "old", "c": "new"}


def test_media_that_are_not_ready_are_left_alone() -> None:
    now = Gallery(media=(GalleryMedia(id="a", alt="new", is_ready=False),), variants={})
    assert changed_alts(now, gallery("a")) == {}


def test_variants_get_their_original_media_back() -> None:
    before = gallery("abc", same="a", lost="a", other="b", none=None, gone="c")
    now = gallery("abx", same="a", lost=None, other="a", none="b", gone=None, new="x")
    links = changed_links(now, before)
    assert links.detach == (("other", "a"), ("none", "b"))
    assert links.attach == (("lost", "a"), ("other", "b"))


def test_a_variant_keeps_media_that_the_merchant_added() -> None:
    links = changed_links(gallery("ax", v="x"), gallery("a", v="a"))
    assert (links.detach, links.attach) == ((), ())


def test_removed_media_are_detached_from_variants() -> None:
    assert without_media(gallery("ab", v="a", w="b"), ["a"]) == gallery("b", v=None, w="b")


def test_edits_made_during_the_withdrawal_are_kept() -> None:
    snapshot = gallery("abc", s="a", m="b", x="c")
    found = gallery("bac", s="b", m="b", x="a")  # before the taking back was asked for
    now = gallery("bacD", s="b", m="c", x=None)  # one variant lets go, as ours do
    wanted = with_later_edits(now, found=found, snapshot=snapshot)
    assert wanted == gallery("abc", s="a", m="c", x="c")
    edited = gallery("cBa", s="b", m="b", x="a")
    wanted = with_later_edits(edited, found=found, snapshot=snapshot)
    assert wanted == gallery("cBa", s="a", m="b", x="c")


@given(ORDERS, ORDERS)
def test_an_unchanged_gallery_contains_no_later_edits(
    snapshot: list[str], found: list[str]
) -> None:
    before = gallery("".join(snapshot))
    for now in (snapshot, found):
        assert (
            with_later_edits(gallery("".join(now)), found=gallery("".join(found)), snapshot=before)
            == before
        )
