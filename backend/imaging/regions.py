"""Connected regions of a mask: which there are, how large, and which of them to keep.

A mask of a product has a few runs of equal pixels in each row. To join the runs takes a quarter of
the time that libvips takes to number every pixel.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from backend.imaging.filters import Floats, Indices, Mask, border


@dataclass(frozen=True)
class Regions:
    """The 4-connected regions of a (height, width) mask, and those of what is outside it.

    first: the flat index of each run's first pixel, row by row. number: the region, 0..n-1, of each
    run, in the order of their topmost rows.
    """

    mask: Mask
    first: Indices
    number: Indices

    @cached_property
    def lengths(self) -> Indices:
        """The pixels of each run."""
        return np.diff(self.first, append=self.mask.size)

    @cached_property
    def areas(self) -> Indices:
        """The pixels of each region."""
        return np.bincount(self.number, self.lengths).astype(np.intp)

    @cached_property
    def inside(self) -> Mask:
        """Whether each region is one of the mask."""
        inside = np.zeros(int(self.number.max()) + 1, dtype=bool)
        inside[self.number] = self.mask.ravel().take(self.first)
        return inside

    @cached_property
    def inner_areas(self) -> Indices:
        """The pixels of each region of the mask; 0 for a region outside it."""
        return np.where(self.inside, self.areas, 0)

    def means(self, weights: NDArray[np.generic]) -> Floats:
        """The mean of the (height, width) weights in each region."""
        sums = np.add.reduceat(weights.ravel(), self.first, dtype=np.float64)
        return np.bincount(self.number, sums) / self.areas

    def touched(self, seed: Mask) -> Mask:
        """Whether each region has at least one pixel of the seed."""
        touched = np.zeros(self.areas.size, dtype=bool)
        touched[self.number[np.logical_or.reduceat(seed.ravel(), self.first)]] = True
        return touched

    def drawn(self, chosen: Mask) -> Mask:
        """A mask of the regions for which `chosen` is true."""
        return chosen[self.number].repeat(self.lengths).reshape(self.mask.shape)


def regions_of(mask: Mask) -> Regions:
    """Find all regions."""
    width = mask.shape[1]
    starts = np.empty(mask.shape, dtype=bool)
    starts[:, 0] = True
    np.not_equal(mask[:, 1:], mask[:, :-1], out=starts[:, 1:])
    first = np.flatnonzero(starts)
    # Where runs of two rows meet, one of them starts.
    lower, upper = first[first >= width], first[first < mask.size - width]
    above = np.searchsorted(first, lower - width, side="right") - 1
    below = np.searchsorted(first, upper + width, side="right") - 1
    runs = np.arange(first.size)
    one = np.concatenate([above, runs[: upper.size]])
    other = np.concatenate([runs[first.size - lower.size :], below])
    value = mask.ravel().take(first)
    same = value[one] == value[other]
    return Regions(mask, first, _joined(first.size, one[same], other[same]))


def touching(mask: Mask, seed: Mask) -> Mask:
    """The regions of `mask` that contain at least one pixel of `seed`."""
    regions = regions_of(mask)
    return regions.drawn(regions.inside & regions.touched(seed))


def without_specks(mask: Mask, share: float) -> Mask:
    """The mask less regions smaller than `share` of its largest one."""
    regions = regions_of(mask)
    return regions.drawn(_large(regions, share))


def cleaned(mask: Mask, *, specks: float, pinholes: float) -> Mask:
    """The mask with its pinholes filled, less its specks, each a share of the largest region.

    Pinholes are measured against the largest region outside the mask, specks against its own.
    """
    regions = regions_of(mask)
    outside = regions.areas - regions.inner_areas
    is_pinhole = (outside > 0) & (outside < pinholes * outside.max())
    if is_pinhole.any():
        return without_specks(mask | regions.drawn(is_pinhole), specks)
    return regions.drawn(_large(regions, specks))


def without_holes(mask: Mask) -> Mask:
    """The mask with whatever it encloses."""
    return ~touching(~mask, border(mask.shape))


def _large(regions: Regions, share: float) -> Mask:
    """Those of the mask's regions that have at least this share of its largest one's area."""
    areas = regions.inner_areas
    return np.asarray(areas >= max(1, share * areas.max()))


def _joined(count: int, one: Indices, other: Indices) -> Indices:
    """Number `count` things from 0, equally for `one` and `other`, pair by pair, and so on."""
    root = np.arange(count)
    while one.size:
        # Each root that meets a smaller one gets it as its root, until none meets another.
        np.minimum.at(root, np.maximum(one, other), np.minimum(one, other))
        while (root != (above := root[root])).any():
            root = above
        one, other = root[one], root[other]
        apart = one != other
        one, other = one[apart], other[apart]
    is_root = root == np.arange(count)
    return (np.cumsum(is_root) - 1)[root]
