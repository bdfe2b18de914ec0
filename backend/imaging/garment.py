"""Measures a garment's outline, from its alpha channel alone.

The garment is taken to be photographed straight from the front, upright, laid flat or hung.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.imaging import filters
from backend.imaging.filters import Mask

# Rows of the reduced outline: enough for a per cent of the garment's height.
OUTLINE_ROWS = 240


@dataclass(frozen=True)
class Garment:
    """A garment's outline and marks, in cells of `cell` photo pixels, from its own top left corner.

    mask: (rows, columns). axis: the column that mirrors it. top: the row of the high points of both
    shoulders, where the seam meets the neck. torso: the body's width without hanging sleeves, 0 if
    there is none. waist: the width where it is narrowest. waistband: the width at the top.
    symmetry: overlap with its own mirror image, 0..1.
    """

    mask: Mask
    cell: float
    axis: float
    top: float
    torso: float
    waist: float
    waistband: float
    symmetry: float

    @property
    def height(self) -> int:
        return int(self.mask.shape[0])


def measure_garment(alpha: NDArray[np.uint8]) -> Garment:
    """Measure a non-empty (height, width) uint8 alpha."""
    box = filters.bounds(alpha > 127)
    solid = (alpha[box] > 127).astype(np.float32)
    cell = solid.shape[0] / OUTLINE_ROWS
    mask = filters.resize(solid, OUTLINE_ROWS, max(1, round(solid.shape[1] / cell))) > 0.5
    axis = _axis(mask)
    runs = _runs_through(mask, axis)
    return Garment(
        mask=mask,
        cell=cell,
        axis=axis,
        top=_shoulder_row(mask, axis),
        torso=_percentile(_part(runs, 0.4, 0.95), 25),
        waist=_percentile(_part(runs, 0.2, 0.6), 10),
        waistband=_percentile(_part(runs, 0.02, 0.07), 50),
        symmetry=_symmetry(mask, axis),
    )


def _axis(mask: Mask) -> float:
    """The median of the rows' centres."""
    left, right = _sides(mask)
    return float(np.median((left + right)[mask.any(axis=1)])) / 2


def _sides(mask: Mask) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """First and last column of each row; meaningless where the row is empty."""
    return mask.argmax(axis=1), mask.shape[1] - 1 - mask[:, ::-1].argmax(axis=1)


def _runs_through(mask: Mask, axis: float) -> NDArray[np.intp]:
    """In each row the length of the unbroken stretch that holds the axis, 0 if that is empty."""
    column = round(axis)
    left, right = mask[:, column::-1], mask[:, column:]
    lengths = [
        np.where(half.all(axis=1), half.shape[1], (~half).argmax(axis=1)) for half in (left, right)
    ]
    return np.asarray(np.maximum(sum(lengths) - 1, 0))


def _part(runs: NDArray[np.intp], start: float, end: float) -> NDArray[np.intp]:
    """The rows between two shares of the height that are not empty at the axis."""
    part = runs[round(start * runs.size) : round(end * runs.size)]
    return part[part > 0]


def _percentile(runs: NDArray[np.intp], share: float) -> float:
    return float(np.percentile(runs, share)) if runs.size else 0.0


def _shoulder_row(mask: Mask, axis: float) -> float:
    """The mean of the highest rows left and right of the axis."""
    first = np.where(mask.any(axis=0), mask.argmax(axis=0), mask.shape[0])
    middle = round(axis)
    return (
        float(first[:middle].min(initial=OUTLINE_ROWS) + first[middle:].min(initial=OUTLINE_ROWS))
        / 2
    )


def _symmetry(mask: Mask, axis: float) -> float:
    """Intersection over union with the mirror image."""
    reach = int(min(axis, mask.shape[1] - 1 - axis))
    middle = round(axis)
    left = mask[:, middle - reach : middle + 1][:, ::-1]
    right = mask[:, middle : middle + reach + 1]
    outside = int(mask.sum()) - int(mask[:, middle - reach : middle + reach + 1].sum())
    both, either = int((left & right).sum()), int((left | right).sum())
    return both / max(1, either + outside)
