"""How much a generated picture's garment is like the one in the photo: colour, outline, pattern.

The garment is compared in blocks of a twelfth of its height. Each may have moved by three quarters
of a block, as cloth does on a body. Every figure is on the shrunk picture: a seam, a button or
lettering is too small for it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import msgspec
import numpy as np
import pyvips
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from backend.imaging import filters
from backend.imaging.backdrop import lab
from backend.imaging.filters import Floats, Mask
from backend.imaging.found_garment import FoundGarment, find_garment, main_colours, scaled
from backend.imaging.subject import SubjectNet

HEIGHT, BLOCK, BLOCK_REACH = 192, 16, 12
COARSE_STEP, BLURRED = 3, 1.5  # of the search; then every place nearby is tried, on sharp pixels
MIN_COVERED = 0.6  # of a block
MIN_PATTERNED = 3  # blocks; fewer are a label in the neck
# Standard deviations, in ΔE: what is a pattern in the photo, and what folds do not reach.
PATTERNED, STRIKING = 6.0, 10.0
# The share of a block's variance that its best match explains if it is the same pattern.
EXPLAINED = 0.4
# ΔE between the means of a block and its match if they show different things.
UNLIKE = 12.0
# How far, in pixels of the search, an outline may be off.
OUTLINE_REACH = 2
# A picture is the photo itself if it differs by less than this ΔE on the average, in so many pixels
# a side, and has the same aspect ratio but for this share.
SAME_PICTURE, SMALL, SAME_ASPECT = 3.0, 48, 0.03


class Likeness(msgspec.Struct, frozen=True, kw_only=True):
    """All shares are 0 to 1, ΔE is CIE76.

    found: of the garment's outline, where the picture has its colours.
    beyond: of those colours in the picture, what lies outside of the outline.
    drift, drift_p90: ΔE between blocks of the photo and their matches, mean and 90th percentile.
    worst_colour: ΔE of the main colour that has changed most.
    unlike: of the blocks, those whose match has another colour or, if there is one, another print.
    pattern: of the patterned blocks, those whose match has the same pattern; null if it is plain.
    added: of all blocks, those that have a pattern in the picture alone.
    """

    found: float
    beyond: float
    drift: float
    drift_p90: float
    worst_colour: float
    unlike: float
    pattern: float | None
    added: float


def compare_garment(
    cutout: NDArray[np.uint8], picture: NDArray[np.uint8], net: SubjectNet | None
) -> Likeness | None:
    """Compare a (height, width, 4) cut-out with an (…, 3) picture; None if it is not found."""
    opaque = cutout[..., 3] > 127
    if not opaque.any():
        return None
    garment = cutout[filters.bounds(opaque)]
    found = find_garment(garment, picture, net)
    if found is None:
        return None
    pairs = list(_matched(*_side_by_side(garment, picture, found)))
    return _figures(found, pairs) if pairs else None


def is_unchanged(cutout: NDArray[np.uint8], picture: NDArray[np.uint8]) -> bool:
    """Whether a picture shows the cut-out of a photo where the photo has it, and nothing else."""
    (height, width), (rows, columns) = cutout.shape[:2], picture.shape[:2]
    if abs(width / height * rows / columns - 1) > SAME_ASPECT:
        return False
    seen = lab(scaled(picture, SMALL, SMALL))
    frame = seen[filters.border(seen.shape[:2])]
    small = scaled(cutout, SMALL, SMALL)
    covered = small[..., 3:] / np.float32(255)
    there = lab(np.ascontiguousarray(small[..., :3]))
    expected = covered * there + (1 - covered) * np.median(frame, axis=0)
    return float(np.linalg.norm(seen - expected, axis=-1).mean()) < SAME_PICTURE


@dataclass(frozen=True)
class _Pair:
    """The (n, 3) Lab pixels of a block, and of the place in the picture that is most like it."""

    own: Floats
    seen: Floats

    @cached_property
    def drift(self) -> float:
        return float(np.linalg.norm(self.own.mean(axis=0) - self.seen.mean(axis=0)))

    @cached_property
    def own_spread(self) -> float:
        return _spread(self.own)

    @cached_property
    def seen_spread(self) -> float:
        return _spread(self.seen)

    @cached_property
    def residual(self) -> float:
        return _spread(self.own - self.seen)

    @property
    def is_patterned(self) -> bool:
        return self.own_spread > PATTERNED

    @property
    def has_same_pattern(self) -> bool:
        return self.residual**2 < (1 - EXPLAINED) * self.own_spread**2

    @property
    def has_new_pattern(self) -> bool:
        is_new = self.seen_spread > max(STRIKING, 1.5 * self.own_spread)
        return is_new and self.residual > 0.8 * self.seen_spread


def _spread(colours: Floats) -> float:
    """The standard deviation, in ΔE."""
    return float(np.sqrt(colours.var(axis=0).sum()))


def _figures(found: FoundGarment, pairs: list[_Pair]) -> Likeness:
    close = filters.dilate(found.region, 1)
    around = filters.dilate(found.outline, OUTLINE_REACH)
    drifts = np.array([pair.drift for pair in pairs])
    same = [pair.has_same_pattern for pair in pairs if pair.is_patterned]
    return Likeness(
        found=round(float(close[found.outline].mean()), 3),
        beyond=round(float(1 - around[found.region].mean()), 3),
        drift=round(float(drifts.mean()), 2),
        drift_p90=round(float(np.percentile(drifts, 90)), 2),
        worst_colour=round(_worst_colour(pairs), 2),
        unlike=round(float(np.mean(drifts > UNLIKE)), 3),
        pattern=round(float(np.mean(same)), 3) if len(same) >= MIN_PATTERNED else None,
        added=round(float(np.mean([pair.has_new_pattern for pair in pairs])), 3),
    )


def _worst_colour(pairs: list[_Pair]) -> float:
    """Medians, so that it does not matter if an edge is a pixel off."""
    own = np.concatenate([pair.own for pair in pairs])
    seen = np.concatenate([pair.seen for pair in pairs])
    colours = main_colours(own)
    nearest = np.argmin([((own - colour) ** 2).sum(axis=-1) for colour in colours], axis=0)
    return max(
        float(np.linalg.norm(np.median(own[like], axis=0) - np.median(seen[like], axis=0)))
        for like in (nearest == number for number in range(len(colours)))
        if like.any()
    )


def _side_by_side(
    garment: NDArray[np.uint8], picture: NDArray[np.uint8], found: FoundGarment
) -> tuple[Floats, Mask, Floats]:
    """The garment's Lab pixels, its mask, and the picture's with a rim, in one size."""
    height, width = picture.shape[:2]
    rows, columns = found.height * height, found.width * width
    across = max(BLOCK, round(HEIGHT * columns / rows))
    whole = (0.0, 0.0, float(garment.shape[0]), float(garment.shape[1]))
    own = _window(garment, whole, (HEIGHT, across), rim=0)
    box = (found.top * height, found.left * width, rows, columns)
    seen = _window(picture, box, (HEIGHT, across), rim=BLOCK_REACH)
    inside = own[..., 3] > 200
    return lab(np.ascontiguousarray(own[..., :3])), inside, lab(seen)


def _window(
    pixels: NDArray[np.uint8],
    box: tuple[float, float, float, float],
    size: tuple[int, int],
    *,
    rim: int,
) -> NDArray[np.uint8]:
    """A box (top, left, rows, columns) of the picture in that size, and a rim of so many pixels."""
    (top, left, rows, columns), (height, width) = box, size
    image = pyvips.Image.new_from_array(pixels).copy(interpretation="srgb")
    image = image.premultiply() if image.hasalpha() else image
    image = image.resize(width / columns, vscale=height / rows, kernel="linear")
    image = image.unpremultiply() if image.hasalpha() else image
    x, y = round(left * width / columns) - rim, round(top * height / rows) - rim
    cut = image.cast("uchar").embed(-x, -y, width + 2 * rim, height + 2 * rim, extend="copy")
    return np.asarray(cut.numpy())


def _matched(own: Floats, inside: Mask, seen: Floats) -> Iterator[_Pair]:
    """Each block of the garment and the place nearby in the picture that is most like it."""
    soft_own, soft_seen = (filters.blur(each, BLURRED) for each in (own, seen))
    for top in range(0, own.shape[0] - BLOCK + 1, BLOCK):
        for left in range(0, own.shape[1] - BLOCK + 1, BLOCK):
            here = (slice(top, top + BLOCK), slice(left, left + BLOCK))
            within = inside[here]
            if within.mean() < MIN_COVERED:
                continue
            near = _area(top, left, 2 * BLOCK_REACH)
            down, right, _ = _best_place(soft_own[here], within, soft_seen[near], COARSE_STEP)
            down, right = max(0, down - COARSE_STEP), max(0, right - COARSE_STEP)
            near = _area(top + down, left + right, 2 * COARSE_STEP)
            _, _, chosen = _best_place(own[here], within, seen[near], 1)
            yield _Pair(own[here][within], chosen)


def _area(top: int, left: int, more: int) -> tuple[slice, slice]:
    return slice(top, top + BLOCK + more), slice(left, left + BLOCK + more)


def _best_place(own: Floats, within: Mask, near: Floats, step: int) -> tuple[int, int, Floats]:
    """Row and column in the (…, 3) window, and its (n, 3) pixels there. Light may have changed."""
    windows = sliding_window_view(near, within.shape, axis=(0, 1))[::step, ::step]
    seen = windows[..., within]  # (rows, columns, 3, n)
    apart = seen - own[within].T
    means = apart.mean(axis=-1)
    cost = (apart**2).sum(axis=-2).mean(axis=-1) - 0.75 * means[..., 0] ** 2
    down, right = np.unravel_index(int(cost.argmin()), cost.shape)
    return int(down) * step, int(right) * step, seen[down, right].T
