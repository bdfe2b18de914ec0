"""Fits a garment to the mannequin: its size, its position and the quality of the fit.

The size follows from one width of the garment and one of the body; a small search around it lets
as little of the body as possible show beside the garment, where cloth should be.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from backend.imaging import filters
from backend.imaging.filters import Mask
from backend.imaging.garment import Garment
from backend.imaging.mannequin import Mannequin

Category = Literal["top", "bottom", "dress"]

# The search runs on the body reduced this much; its sides are then known to a per cent.
SHRINK = 8
# Cloth hangs looser than skin: the garment's width as a multiple of the body's.
EASE: dict[Category, float] = {"top": 1.16, "dress": 1.14, "bottom": 1.06}
SCALES = (0.96, 1.0, 1.05, 1.1, 1.15, 1.2)
DROPS = (-0.02, 0.0, 0.02, 0.04)  # shares of the way from neck to hip
# What a deviation from the expected size costs, against a share of the body left bare.
STIFFNESS = 0.1
# A garment's height as a multiple of its width; beyond it, it is another kind of thing.
PROPORTIONS: dict[Category, tuple[float, float]] = {
    "top": (0.7, 2.6),
    "dress": (1.3, 6.0),
    "bottom": (0.6, 5.0),
}
MIN_SYMMETRY = 0.8


@dataclass(frozen=True)
class Fit:
    """`scale`: body pixels for each photo pixel; (`left`, `top`): the garment's corner on the body.

    `quality`: 0..1, how far the garment covers what it should, and looks like a garment at all.
    """

    scale: float
    left: float
    top: float
    quality: float


@dataclass(frozen=True)
class _Trial:
    """One size and height. `zoom`: body pixels for each cell; `bare`: the share not covered."""

    zoom: float
    top: float
    bare: float
    cost: float


def fit_garment(garment: Garment, body: Mannequin, category: Category) -> Fit | None:
    """The best fit; None if the outline has no width to go by."""
    width = _width(garment, category)
    if width == 0:
        return None
    best = min(_trials(garment, body, category, width), key=lambda trial: trial.cost)
    return Fit(
        scale=best.zoom / garment.cell,
        left=body.axis - garment.axis * best.zoom,
        top=best.top,
        quality=round((1 - best.bare) * _likeness(garment, category, width), 3),
    )


def _width(garment: Garment, category: Category) -> float:
    widths = {"top": garment.torso, "dress": garment.waist, "bottom": garment.waistband}
    return widths[category]


def _trials(
    garment: Garment, body: Mannequin, category: Category, width: float
) -> Iterator[_Trial]:
    """All plausible sizes and heights."""
    body_width, row, mark = _hook(garment, body, category)
    small = body.mask[::SHRINK, ::SHRINK]
    for factor in SCALES:
        zoom = factor * EASE[category] * body_width / width
        outline = _outline(garment, zoom, filled=category != "bottom")
        for drop in DROPS:
            top = row + drop * (body.hip - body.neck) - mark * zoom
            left = body.axis - garment.axis * zoom
            cloth = _pasted(outline, small.shape, round(left / SHRINK), round(top / SHRINK))
            zone = (top + mark * zoom, top + garment.height * zoom)
            bare = _bare(small & ~cloth, small, body.chest, *zone)
            yield _Trial(zoom, top, bare, bare + STIFFNESS * (abs(factor - 1) + abs(drop)))


def _hook(garment: Garment, body: Mannequin, category: Category) -> tuple[float, float, float]:
    """The body's width to go by; a row of the body, and the garment's row that belongs there."""
    if category == "bottom":
        return body.width_at(body.belt), body.belt, 0.0
    collar = body.neck + 0.12 * (body.shoulder - body.neck)
    return (body.width_at(body.chest) if category == "top" else body.waist), collar, garment.top


def _outline(garment: Garment, zoom: float, *, filled: bool) -> Mask:
    """The garment on the reduced body. Filled from side to side: a neckline leaves nothing bare."""
    rows, columns = (max(1, round(side * zoom / SHRINK)) for side in garment.mask.shape)
    mask = filters.resize(garment.mask.astype(np.float32), rows, columns) > 0.5
    if not filled:
        return mask
    return np.asarray(
        np.logical_or.accumulate(mask, axis=1)
        & np.logical_or.accumulate(mask[:, ::-1], axis=1)[:, ::-1]
    )


def _pasted(mask: Mask, shape: tuple[int, ...], left: int, top: int) -> Mask:
    """The mask in a larger empty one; what sticks out is lost."""
    out = np.zeros(shape, dtype=bool)
    rows, columns = mask.shape
    inside = mask[
        max(0, -top) : max(0, min(rows, shape[0] - top)),
        max(0, -left) : max(0, min(columns, shape[1] - left)),
    ]
    first, start = max(0, top), max(0, left)
    out[first : first + inside.shape[0], start : start + inside.shape[1]] = inside
    return out


def _bare(bare: Mask, small: Mask, chest: float, start: float, end: float) -> float:
    """The share of the body that shows beside the garment, shoulders apart from what is below.

    A narrow shoulder is lost among the rest of a long dress, but it is what the eye sees first.
    """
    chest = min(max(start, chest), end)
    shares = []
    for first, last in ((start, chest), (chest, end)):
        rows = slice(round(first / SHRINK), round(last / SHRINK))
        shares.append(float(bare[rows].sum() / max(1, small[rows].sum())))
    return 1 - (1 - shares[0]) * (1 - shares[1])


def _likeness(garment: Garment, category: Category, width: float) -> float:
    """1 for the symmetry and proportions of such a garment, towards 0 for anything else."""
    low, high = PROPORTIONS[category]
    proportion = garment.height / width
    return min(1.0, garment.symmetry / MIN_SYMMETRY) * min(1.0, proportion / low, high / proportion)
