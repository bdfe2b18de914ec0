"""The spatial filters that the cut-out needs, on numpy arrays and libvips.

scipy and OpenCV have all of these, for 113 and 153 MB on disk; these lines are cheaper.
"""

from typing import TypeVar

import numpy as np
import pyvips
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Mask = NDArray[np.bool_]
Indices = NDArray[np.intp]
Pixels = TypeVar("Pixels", NDArray[np.uint8], Floats)


def dilate(mask: Mask, radius: int) -> Mask:
    """Every pixel whose (2·radius+1)² square touches the mask, in log2(radius) shifts an axis."""
    out = mask.copy()
    for axis in (0, 1):
        reach = 0
        while reach < radius:
            step = min(2 * reach + 1, radius - reach)
            before = out.copy()
            low, high = _halves(axis, step)
            out[low] |= before[high]
            out[high] |= before[low]
            reach += step
    return out


def erode(mask: Mask, radius: int) -> Mask:
    """The mask less a border of `radius` pixels; beyond the picture's edge counts as inside."""
    return ~dilate(~mask, radius)


def blur(image: Floats, sigma: float) -> Floats:
    """Gaussian of a (height, width[, bands]) array; the edge is repeated outwards.

    A wide blur leaves no detail, so it is computed on a reduced picture, many times cheaper.
    """
    height, width = image.shape[:2]
    shrink = int(sigma // 1.25)
    if shrink > 1:
        small = resize(image, -(-height // shrink), -(-width // shrink))
        return resize(blur(small, sigma / shrink), height, width)
    blurred: Floats = _vips(image).gaussblur(sigma, precision="float").numpy()
    return blurred.reshape(image.shape)


def joined(rgb: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(height, width, 4), black where the alpha is zero."""
    rgba: NDArray[np.uint8] = _vips(rgb).bandjoin(_vips(alpha)).numpy()
    rgba.view(np.uint32)[..., 0] *= alpha > 0
    return rgba


def shrunk(image: Pixels, factor: int) -> Pixels:
    """A (height, width[, bands]) picture, each pixel the mean of `factor` by `factor`."""
    if factor == 1:
        return image
    small: Pixels = _vips(image).shrink(factor, factor, ceil=True).numpy()
    return small.reshape(*small.shape[:2], *image.shape[2:])


def enlarged(mask: Mask, factor: int, shape: tuple[int, int]) -> Mask:
    """Enlarge a `shrunk` mask by repeating its pixels."""
    if factor == 1:
        return mask
    large: Mask = mask.repeat(factor, axis=0).repeat(factor, axis=1)
    return large[: shape[0], : shape[1]]


def sampled(small: Floats, factor: int, rows: Indices, columns: Indices) -> Floats:
    """(n[, bands]) of a `shrunk` picture at pixels of the whole one, between four neighbours each.

    Where only a band along the outline is wanted, this is cheaper than to enlarge the picture.
    """
    height, width = small.shape[:2]
    flat = small.reshape(height * width, -1)
    top, bottom, y = _neighbours(rows, factor, height, step=width)
    left, right, x = _neighbours(columns, factor, width, step=1)
    above = _mixed(flat.take(top + left, axis=0), flat.take(top + right, axis=0), x)
    below = _mixed(flat.take(bottom + left, axis=0), flat.take(bottom + right, axis=0), x)
    return _mixed(above, below, y).reshape(-1, *small.shape[2:])


def resize(image: Floats, height: int, width: int) -> Floats:
    """Bilinear up, area-averaged down, to exactly (height, width)."""
    source = _vips(image)
    resized: Floats = source.resize(
        width / source.width, vscale=height / source.height, kernel="linear"
    ).numpy()
    return resized.reshape(height, width, *image.shape[2:])


def share(mask: Mask) -> float:
    """The share of its pixels that the mask covers; numpy's mean takes ten times as long."""
    return float(np.count_nonzero(mask) / max(mask.size, 1))


def border(shape: tuple[int, int], depth: int = 1) -> Mask:
    """A frame of `depth` pixels along the picture's edge."""
    frame = np.ones(shape, dtype=bool)
    frame[depth:-depth, depth:-depth] = False
    return frame


def bounds(mask: Mask, margin: int = 0) -> tuple[slice, slice]:
    """Rows and columns of the smallest box around the mask, grown by `margin` inside the picture.

    The mask must not be empty.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return (
        slice(max(0, int(rows[0]) - margin), int(rows[-1]) + 1 + margin),
        slice(max(0, int(columns[0]) - margin), int(columns[-1]) + 1 + margin),
    )


def guiding(
    guide: Floats, coarse: Floats, *, sigma: float, epsilon: float, factor: int = 1
) -> Floats:
    """(height, width, 2): the slope and the offset with which `coarse` follows the `guide`.

    Both are (height, width) in 0..1, and slope · guide + offset has the guide's edges. The answer
    is `shrunk` by the factor, and the guide that it is used on may be a larger picture: He and Sun,
    "Fast Guided Filter" (2015), with Gaussian windows instead of boxes.
    """
    sigma /= factor
    seen = np.dstack([guide, coarse, guide * coarse, guide * guide])
    means = blur(shrunk(seen, factor), sigma)
    mean_guide, mean_coarse, mean_product, mean_square = np.moveaxis(means, -1, 0)
    covariance = mean_product - mean_guide * mean_coarse
    variance = mean_square - mean_guide * mean_guide
    slope = covariance / (variance + epsilon)
    return blur(np.dstack([slope, mean_coarse - slope * mean_guide]), sigma)


def smoothstep(low: float | Floats, high: float | Floats, x: Floats) -> Floats:
    """0 below `low`, 1 above `high`, an S between."""
    ramp = np.clip((x - low) / (high - low), 0, 1)
    return np.asarray(ramp * ramp * (3 - 2 * ramp), dtype=np.float32)


def _halves(axis: int, step: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Two views of an image that are `step` pixels apart along `axis`."""
    low, high, every = slice(None, -step), slice(step, None), slice(None)
    return ((low, every), (high, every)) if axis == 0 else ((every, low), (every, high))


def _neighbours(
    where: Indices, factor: int, length: int, *, step: int
) -> tuple[Indices, Indices, Floats]:
    """Along one axis of a `shrunk` picture: both neighbours, and how far it is to the second.

    The neighbours are `step` apart in the flat picture. They are computed once for each place.
    """
    places = np.arange(length * factor, dtype=np.float32)
    at = np.clip((places + np.float32(0.5)) / factor - np.float32(0.5), 0, length - 1)
    first = at.astype(np.intp)
    second = np.minimum(first + 1, length - 1)
    share = (at - first).astype(np.float32)
    return (first * step).take(where), (second * step).take(where), share.take(where)[:, None]


def _mixed(first: Floats, second: Floats, share: Floats) -> Floats:
    """From the first to the second; the first is overwritten."""
    second -= first
    second *= share
    first += second
    return first


def _vips(array: NDArray[np.generic]) -> pyvips.Image:
    return pyvips.Image.new_from_array(np.ascontiguousarray(array))
