"""A product's media as a value, and the changes that turn one into another. Pure functions.

Everything here is a difference between the current and the wanted state, so repeating it, or
continuing after an interruption, has the same result.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from backend.shops.media_responses import Gallery, GalleryMedia


class Move(msgspec.Struct, frozen=True):
    """Move a media to `position`, counted from 0."""

    id: str
    position: int


class Links(msgspec.Struct, frozen=True, kw_only=True):
    """The variant media to detach, and then to append: pairs of variant and media."""

    detach: tuple[tuple[str, str], ...]
    attach: tuple[tuple[str, str], ...]


def moves(current: Sequence[str], wanted: Sequence[str]) -> list[Move]:
    """The moves, in sequence, that put the same media into the wanted order."""
    order = list(current)
    found = []
    for position, media_id in enumerate(wanted):
        if order[position] != media_id:
            order.remove(media_id)
            order.insert(position, media_id)
            found.append(Move(media_id, position))
    return found


def arranged(current: Sequence[str], positions: Mapping[str, int]) -> list[str]:
    """The order in which each media of `positions` (counted from 1) is at its position."""
    order = [media_id for media_id in current if media_id not in positions]
    for media_id, position in sorted(positions.items(), key=lambda item: item[1]):
        if media_id in current:
            order.insert(position - 1, media_id)
    return order


def restored_order(current: Sequence[str], snapshot: Gallery) -> list[str]:
    """The order in the snapshot without deleted media; media added since keep their position."""
    old = iter([media_id for media_id in snapshot.ids if media_id in current])
    return [next(old) if media_id in snapshot.ids else media_id for media_id in current]


def changed_alts(now: Gallery, snapshot: Gallery) -> dict[str, str]:
    """The alt texts to restore, by media."""
    before = {shown.id: shown.alt for shown in snapshot.media}
    return {
        shown.id: before[shown.id]
        for shown in now.media
        if shown.is_ready and before.get(shown.id, shown.alt) != shown.alt
    }


def changed_links(now: Gallery, snapshot: Gallery) -> Links:
    """The changes at the variants in the snapshot.

    A variant that shows media the merchant has added since keeps it. A variant whose media was
    deleted gets none.
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
    """The snapshot, but with the current state wherever someone has changed it since `found`.

    A state that is neither the found one nor the snapshot's is not ours. Only a variant without
    media can be ours, because it detaches one media before it gets another.
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
    """The sort key that puts media into the gallery's order."""
    places = {media_id: place for place, media_id in enumerate(gallery.ids)}
    return lambda shown: places[shown.id]


def is_reordered(now: Sequence[str], found: Sequence[str]) -> bool:
    """Whether the media in both have different orders."""
    return [each for each in now if each in found] != [each for each in found if each in now]


def without_media(gallery: Gallery, gone: Iterable[str]) -> Gallery:
    """The gallery without these media."""
    doomed = set(gone)
    return Gallery(
        media=tuple(shown for shown in gallery.media if shown.id not in doomed),
        variants={
            variant: None if shows in doomed else shows
            for variant, shows in gallery.variants.items()
        },
    )
