"""A product's media as a value, and what would have to change for it to be another. Pure.

Everything here is a difference between what is and what should be, so doing it twice, or going on
after an interruption, comes to the same.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from backend.shops.media_responses import Gallery, GalleryMedia


class Move(msgspec.Struct, frozen=True):
    """Take a media out and put it in at `position`, counted from 0."""

    id: str
    position: int


class Links(msgspec.Struct, frozen=True, kw_only=True):
    """What variants have to let go, and then to show: pairs of variant and media."""

    detach: tuple[tuple[str, str], ...]
    attach: tuple[tuple[str, str], ...]


def moves(current: Sequence[str], wanted: Sequence[str]) -> list[Move]:
    """The moves, one after the other, that put the same media into the wanted order."""
    order = list(current)
    found = []
    for position, media_id in enumerate(wanted):
        if order[position] != media_id:
            order.remove(media_id)
            order.insert(position, media_id)
            found.append(Move(media_id, position))
    return found


def arranged(current: Sequence[str], positions: Mapping[str, int]) -> list[str]:
    """The order in which each media of `positions` (counted from 1) is where it says."""
    order = [media_id for media_id in current if media_id not in positions]
    for media_id, position in sorted(positions.items(), key=lambda item: item[1]):
        if media_id in current:
            order.insert(position - 1, media_id)
    return order


def restored_order(current: Sequence[str], snapshot: Gallery) -> list[str]:
    """As the snapshot has it, without what has gone since; what has come keeps its place."""
    old = iter([media_id for media_id in snapshot.ids if media_id in current])
    return [next(old) if media_id in snapshot.ids else media_id for media_id in current]


def changed_alts(now: Gallery, snapshot: Gallery) -> dict[str, str]:
    """The alt texts to set again, by media."""
    before = {shown.id: shown.alt for shown in snapshot.media}
    return {
        shown.id: before[shown.id]
        for shown in now.media
        if shown.is_ready and before.get(shown.id, shown.alt) != shown.alt
    }


def changed_links(now: Gallery, snapshot: Gallery) -> Links:
    """What to change at the variants that the snapshot knows.

    A variant that shows what the merchant has added since keeps it, and one whose picture has gone
    gets none.
    """
    old, here = set(snapshot.ids), set(now.ids)
    detach, attach = [], []
    for variant, shows in now.variants.items():
        wanted = snapshot.variants.get(variant)
        is_merchants = shows is not None and shows not in old
        if variant not in snapshot.variants or wanted == shows or is_merchants:
            continue
        if wanted is not None and wanted not in here:
            continue
        if shows is not None:
            detach.append((variant, shows))
        if wanted is not None:
            attach.append((variant, wanted))
    return Links(detach=tuple(detach), attach=tuple(attach))


def with_later_edits(now: Gallery, *, found: Gallery, snapshot: Gallery) -> Gallery:
    """The snapshot, but as it is now wherever somebody has changed it since it was `found`.

    What is neither as found nor as in the snapshot is not our doing; only that a variant shows
    nothing can be, for it lets go of one picture before it takes another.
    """
    alts, found_alts = ({each.id: each.alt for each in it.media} for it in (now, found))
    media = [
        msgspec.structs.replace(shown, alt=alts[shown.id])
        if alts.get(shown.id, shown.alt) not in {found_alts.get(shown.id), shown.alt}
        else shown
        for shown in snapshot.media
    ]
    if is_reordered(now.ids, found.ids) and now.ids != restored_order(now.ids, snapshot):
        here = iter(sorted((each for each in media if each.id in alts), key=place_in(now)))
        media = [next(here) if each.id in alts else each for each in media]
    variants = {
        variant: now.variants[variant]
        if now.variants.get(variant) not in {found.variants.get(variant), wanted, None}
        else wanted
        for variant, wanted in snapshot.variants.items()
    }
    return Gallery(media=tuple(media), variants=variants)


def place_in(gallery: Gallery) -> Callable[[GalleryMedia], int]:
    """What to sort media by, to have them in the gallery's order."""
    places = {media_id: place for place, media_id in enumerate(gallery.ids)}
    return lambda shown: places[shown.id]


def is_reordered(now: Sequence[str], found: Sequence[str]) -> bool:
    """Whether what is in both stands in another order."""
    return [each for each in now if each in found] != [each for each in found if each in now]


def without_media(gallery: Gallery, gone: Iterable[str]) -> Gallery:
    """The gallery as it is without these media."""
    doomed = set(gone)
    return Gallery(
        media=tuple(shown for shown in gallery.media if shown.id not in doomed),
        variants={
            variant: None if shows in doomed else shows
            for variant, shows in gallery.variants.items()
        },
    )
