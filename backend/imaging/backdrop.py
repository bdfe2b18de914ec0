"""The backdrop behind the product (paper, wall or table) as a smooth surface in CIE Lab.

A studio backdrop is one colour with a fall-off of light, so a quadratic in x and y describes it to
within its own grain. What remains after subtracting it says how surely colour tells product from
backdrop at each pixel. A room or a street leaves a large remainder, and is called a scene.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyvips
from numpy.typing import NDArray

from backend.imaging import filters
from backend.imaging.filters import Floats, Mask
from backend.imaging.regions import touching

# ΔE that 95 % of the far pixels stay under on paper; measured 0.4–3 on studio shots, 9 and more
# on scenes.
STUDIO_NOISE = 6.0
# A shadow leaves at least a fifth of the light, and 0.58 of the light's cube root. On white or grey
# paper, where no hue gives it away, it takes at most this much lightness: anything darker is a dark
# product.
DEEPEST = 0.42
SHADOW_DEPTH = 30.0
COLOURED = 12.0  # chroma
# Reported when too few pixels are left to fit: as unlike paper as black is unlike white.
NO_BACKDROP = 100.0


@dataclass(frozen=True)
class Backdrop:
    """`coefficients`: (6, 3) of the surface.

    noise: the ΔE that 95 % of the pixels known to be backdrop stay under.
    """

    coefficients: Floats
    noise: float

    @property
    def is_studio(self) -> bool:
        return self.noise < STUDIO_NOISE

    @property
    def lightness(self) -> float:
        """CIE L* in the picture's middle."""
        return float(self.coefficients[0, 0])

    @property
    def is_coloured(self) -> bool:
        """Whether the paper's own hue tells it from white, grey and black."""
        return bool(np.hypot(*self.coefficients[0, 1:]) > COLOURED)

    @property
    def kind(self) -> Literal["studio", "scene"]:
        return "studio" if self.is_studio else "scene"

    @property
    def threshold(self) -> float:
        """The distance from which a pixel no longer counts as backdrop."""
        return max(1.2, 1.6 * self.noise)


@dataclass(frozen=True)
class Difference:
    """How pixels differ from the backdrop, in ΔE (CIE76).

    distance: in all. darker: in lightness alone, negative if lighter. deepest: as dark as a shadow
    may be there. tint: in hue, after allowing for a shadow, which leaves the same share of the
    light in every colour. tinge: how much of that a shadow may have.
    """

    distance: Floats
    darker: Floats
    deepest: Floats
    tint: Floats
    tinge: Floats

    def thinned(self, step: int) -> "Difference":
        """Every so many pixels of every so many rows."""
        every = (slice(None, None, step), slice(None, None, step))
        return Difference(
            self.distance[every],
            self.darker[every],
            self.deepest[every],
            self.tint[every],
            self.tinge[every],
        )

    def shaded(self, tolerance: Floats | float = 0.0) -> Mask:
        """Pixels that may be backdrop in shadow: darker, and of its hue within `tolerance` ΔE."""
        dimmed = (self.darker > 0) & (self.darker < self.deepest)
        return np.asarray(dimmed & (self.tint < np.maximum(tolerance, self.tinge)))


@dataclass(frozen=True)
class Ringing:
    """What JPEG may do to the backdrop beside the product: `strength` in ΔE, `reach` in pixels."""

    strength: float
    reach: int


def lab(rgb: NDArray[np.uint8]) -> Floats:
    """sRGB to CIE Lab, D65: L 0..100, a and b about ±100."""
    converted: Floats = pyvips.Image.new_from_array(rgb).colourspace("lab").numpy()
    return converted


def positions(shape: tuple[int, ...]) -> tuple[Floats, Floats]:
    """y, as a column, and x, as a row, of a (height, width) picture, -1 to 1 from side to side."""
    height, width = shape[:2]
    y = (np.arange(height, dtype=np.float32) + np.float32(0.5)) * 2 / height - 1
    x = (np.arange(width, dtype=np.float32) + np.float32(0.5)) * 2 / width - 1
    return y[:, None], x[None, :]


def backdrop_difference(lab_pixels: Floats, backdrop: Backdrop, y: Floats, x: Floats) -> Difference:
    """Compare (..., 3) pixels at these positions with the backdrop there."""
    light, *hues = np.moveaxis(lab_pixels, -1, 0)
    paper, *tints = (_quadratic(channel, y, x) for channel in backdrop.coefficients.T)
    # Lab is made of the light's cube roots, so that they all shrink by the same factor.
    dimming = (light + 16) / (paper + 16)
    darker = paper - light
    distance, tint, chroma = darker * darker, np.zeros_like(darker), np.zeros_like(darker)
    for hue, of_paper in zip(hues, tints, strict=True):
        distance += (hue - of_paper) ** 2
        tint += (hue - of_paper * dimming) ** 2
        chroma += of_paper**2
    coloured = chroma > COLOURED**2
    deepest = DEEPEST * (paper + 16)
    deepest = np.where(coloured, deepest, np.minimum(deepest, SHADOW_DEPTH))
    noise = backdrop.threshold
    tinge = np.where(coloured, noise + 0.15 * darker, np.maximum(noise, 0.1 * darker))
    return Difference(np.sqrt(distance), darker, deepest, np.sqrt(tint), tinge)


def guess_subject(lab_pixels: Floats) -> Floats:
    """Subject probability (height, width) without a model: the difference from the backdrop.

    Trusts that the picture's frame is backdrop; everything that is not joined to the frame by
    backdrop-like or merely shaded pixels is subject.
    """
    shape = lab_pixels.shape[:2]
    y, x = positions(shape)
    frame = filters.border(shape, depth=max(shape) // 50)
    rows, columns = np.nonzero(frame)
    backdrop = fit_backdrop(lab_pixels[frame], y[rows, 0], x[0, columns])
    difference = backdrop_difference(lab_pixels, backdrop, y, x)
    plain = (difference.distance < 2 * backdrop.threshold) | difference.shaded()
    outside = touching(plain, filters.border(shape))
    return (~outside).astype(np.float32)


def fit_backdrop(colours: Floats, y: Floats, x: Floats) -> Backdrop:
    """The surface through (n, 3) Lab pixels at (n,) positions, by three rounds of reweighting."""
    if y.size < 64:
        return Backdrop(np.zeros((6, 3), dtype=np.float32), NO_BACKDROP)
    basis = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1).astype(np.float64)
    weights = np.ones(y.size)
    for _ in range(3):
        weighted = basis.T * weights
        solution = np.linalg.lstsq(weighted @ basis, weighted @ colours)[0]
        error = np.linalg.norm(colours - basis @ solution, axis=1)
        weights = 1 / (1 + (error / max(0.5, 2 * float(np.median(error)))) ** 2)
    return Backdrop(solution.astype(np.float32), float(np.percentile(error, 95)))


def _quadratic(c: Floats, y: Floats, x: Floats) -> Floats:
    """One channel of the surface."""
    return np.asarray(c[0] + (c[1] + c[3] * x) * x + (c[2] + c[4] * x + c[5] * y) * y)
