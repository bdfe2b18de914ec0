"""Where a generated picture shows the garment of a photo: found by its colours, then its outline.

On a person a garment is narrower than laid flat, sways and is partly hidden; so its colours are
looked for first, in the picture's subject, and then the size and place are searched with which the
garment's own picture lies best on what was found.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyvips
from numpy.typing import NDArray

from backend.imaging import filters
from backend.imaging.backdrop import guess_subject, lab
from backend.imaging.filters import Floats, Mask
from backend.imaging.regions import regions_of, without_specks
from backend.imaging.subject import SubjectNet

# The picture is looked at in this size, in pixels of its longer side.
SEARCH_SIDE = 128
# Colours that round to the same step of L*, a and b are one. Shares are of the garment: of any
# colour that counts, and of a main colour.
PALETTE_STEP, MIN_SHARE, MAIN_SHARE = 8.0, 0.002, 0.04
# ΔE up to which a pixel has one of the garment's colours. Light and shade change L* most.
NEAR, LIGHT_WEIGHT = 11.0, 0.6
# Of a pixel's surroundings, this share has one of the garment's main colours.
MIN_MAIN = 0.25
# The least region that is looked at, as a share of the picture.
MIN_REGION = 0.01
# The garment's height as a share of the region's, and its width of what it has laid flat.
HEIGHTS = (0.65, 0.72, 0.8, 0.9, 1.0, 1.1)
WIDTHS = (0.75, 0.85, 0.95, 1.05)
BEYOND = 40.0  # ΔE that is charged where the garment lies on something else
MISSED = 30.0**2  # and for the whole region, where the garment does not cover it


@dataclass(frozen=True)
class FoundGarment:
    """Its box in the picture, as shares of the picture's size, and the region of its colours.

    `region` is (height, width) of the picture in `SEARCH_SIDE`, `outline` the garment's mask there.
    """

    top: float
    left: float
    height: float
    width: float
    region: Mask
    outline: Mask


def find_garment(
    garment: NDArray[np.uint8], picture: NDArray[np.uint8], net: SubjectNet | None
) -> FoundGarment | None:
    """Look for a cut-out, (height, width, 4) and cropped to its outline, in an (…, 3) picture."""
    small = _resized(picture, SEARCH_SIDE / max(picture.shape))
    pixels = lab(small)
    region = _region(garment, pixels, _subject(picture, pixels, net))
    if region is None:
        return None
    return _placed(garment, pixels, region)


def _subject(picture: NDArray[np.uint8], pixels: Floats, net: SubjectNet | None) -> Mask:
    guess = net.probability(picture) if net else guess_subject(pixels)
    likely = filters.resize(np.asarray(guess, dtype=np.float32), *pixels.shape[:2])
    return np.asarray(likely > 0.5)


def _region(garment: NDArray[np.uint8], pixels: Floats, subject: Mask) -> Mask | None:
    """The largest connected part of the subject that has the garment's colours."""
    colours = _palette(garment)
    near = _distance(pixels, main_colours(colours, MIN_SHARE)) < NEAR
    main = _distance(pixels, main_colours(colours)) < NEAR
    density = filters.blur(main.astype(np.float32), SEARCH_SIDE / 40)
    region = near & (density > MIN_MAIN) & subject
    region = filters.erode(filters.dilate(region, 2), 3)
    region = filters.dilate(region, 1)
    if regions_of(region).inner_areas.max() < MIN_REGION * region.size:
        return None
    return without_specks(region, 0.1)


def _palette(garment: NDArray[np.uint8]) -> Floats:
    """(n, 3): the Lab pixels inside of the garment."""
    small = _resized(garment, min(1.0, SEARCH_SIDE / max(garment.shape)))
    inside = filters.erode(small[..., 3] > 200, 1)
    if not inside.any():  # thin, such as a necklace, and no longer opaque at this size
        inside = small[..., 3] > small[..., 3].max() // 2
    return lab(np.ascontiguousarray(small[..., :3]))[inside]


def main_colours(colours: Floats, least: float = MAIN_SHARE) -> Floats:
    """(k, 3): the means of those of (n, 3) Lab colours that are alike, if they are `least` of all.

    There is always one.
    """
    steps = np.rint(colours / PALETTE_STEP).astype(np.int64)
    codes = ((steps + 64) * (1, 1 << 8, 1 << 16)).sum(axis=-1)
    _, number, counts = np.unique(codes, return_inverse=True, return_counts=True)
    sums = np.stack([np.bincount(number, weights=each) for each in colours.T], axis=-1)
    wanted = counts >= min(least * counts.sum(), counts.max())
    return np.asarray((sums / counts[:, None])[wanted], dtype=np.float32)


def _distance(pixels: Floats, colours: Floats) -> Floats:
    """ΔE of each pixel to the nearest of the colours, lightness counted less."""
    weights = np.array((LIGHT_WEIGHT, 1, 1), dtype=np.float32)
    nearest = np.full(pixels.shape[:2], np.inf, dtype=np.float32)
    for colour in colours:
        squares = (((pixels - colour.astype(np.float32)) * weights) ** 2).sum(axis=-1)
        np.minimum(nearest, squares, out=nearest)
    return np.asarray(np.sqrt(nearest))


@dataclass(frozen=True)
class _Trial:
    cost: float
    top: int
    left: int
    outline: Mask


def _placed(garment: NDArray[np.uint8], pixels: Floats, region: Mask) -> FoundGarment:
    """The cheapest of all sizes and places."""
    search = _Search(pixels, region)
    best = min(_trials(garment, search), key=lambda trial: trial.cost)
    height, width = region.shape
    rows, columns = best.outline.shape
    outline = np.zeros(region.shape, dtype=bool)
    outline[best.top : best.top + rows, best.left : best.left + columns] = best.outline
    return FoundGarment(
        top=best.top / height,
        left=best.left / width,
        height=rows / height,
        width=columns / width,
        region=region,
        outline=outline,
    )


def _trials(garment: NDArray[np.uint8], search: "_Search") -> Iterator[_Trial]:
    height, width = search.region.shape
    box, _ = filters.bounds(search.region)
    flat = garment.shape[1] / garment.shape[0]
    garment = _resized(garment, min(1.0, 2 * SEARCH_SIDE / max(garment.shape)))
    for share in HEIGHTS:
        rows = min(height, round(share * (box.stop - box.start)))
        for narrow in WIDTHS:
            columns = min(width, round(narrow * flat * rows))
            yield search.best_place(scaled(garment, max(2, rows), max(2, columns)))


class _Search:
    """Lays a garment everywhere on the picture at once, by Fourier transforms."""

    def __init__(self, pixels: Floats, region: Mask) -> None:
        self.region = region
        far = np.where(region[..., None], pixels, _far(pixels))
        self._light, *self._hues = (np.fft.rfft2(channel) for channel in np.moveaxis(far, -1, 0))
        self._squares = np.fft.rfft2((far**2).sum(axis=-1))
        self._covered = np.fft.rfft2(region.astype(np.float32))

    def best_place(self, garment: NDArray[np.uint8]) -> _Trial:
        mask = (garment[..., 3] > 127).astype(np.float32)
        own = lab(np.ascontiguousarray(garment[..., :3])) * mask[..., None]
        area = max(1.0, float(mask.sum()))
        turned = self._turned(mask)
        like = sum(
            self._turned(channel) * of_picture
            for channel, of_picture in zip(
                np.moveaxis(own, -1, 0), (self._light, *self._hues), strict=True
            )
        )
        squares = self._sums(turned * self._squares - 2 * like, mask.shape) + (own**2).sum()
        lighter = (self._sums(turned * self._light, mask.shape) - own[..., 0].sum()) / area
        covered = self._sums(turned * self._covered, mask.shape)
        missed = 1 - covered / self.region.sum()
        cost = squares / area - 0.75 * lighter**2 + MISSED * missed
        top, left = np.unravel_index(int(cost.argmin()), cost.shape)
        return _Trial(float(cost[top, left]), int(top), int(left), mask > 0)

    def _turned(self, channel: Floats) -> NDArray[np.complexfloating]:
        return np.asarray(np.conj(np.fft.rfft2(channel, s=self.region.shape)))

    def _sums(self, product: NDArray[np.complexfloating], size: tuple[int, ...]) -> Floats:
        """At each place where the garment is inside the picture."""
        height, width = self.region.shape
        sums = np.fft.irfft2(product, s=self.region.shape)
        return np.asarray(sums[: height - size[0] + 1, : width - size[1] + 1])


def _far(pixels: Floats) -> Floats:
    """Unlike every colour of the picture by `BEYOND` at least."""
    lowest = pixels.min(axis=(0, 1))
    return np.asarray(lowest - np.array((0, BEYOND, 0), dtype=np.float32))


def scaled(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """(height, width, 3 or 4) of such a picture; what is transparent does not bleed."""
    image = pyvips.Image.new_from_array(pixels).copy(interpretation="srgb")
    size: dict[str, Any] = {"height": height, "size": "force"}
    if not image.hasalpha():
        return np.asarray(image.thumbnail_image(width, **size).numpy())
    small = image.premultiply().thumbnail_image(width, **size).unpremultiply()
    return np.asarray(small.cast("uchar").numpy())


def _resized(pixels: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    return scaled(pixels, max(1, round(height * scale)), max(1, round(width * scale)))
