"""The paper, wall or table behind the product, as a smooth surface in CIE Lab.

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

# ΔE that 95 % of the far pixels stay under on paper; measured 0.4–3 on studio shots, 9 and more
# on scenes.
STUDIO_NOISE = 6.0
# A contact shadow takes at most this much lightness; anything darker is a dark product.
SHADOW_DEPTH = 30.0
# Reported when too few pixels are left to fit: as unlike paper as black is unlike white.
NO_BACKDROP = 100.0
SAMPLE_STEP = 6


@dataclass(frozen=True)
class Backdrop:
    """What sets each pixel apart from the backdrop, in ΔE (CIE76), as (height, width) arrays.

    distance: in all. darker: in lightness alone, negative if lighter. tint: in hue, after allowing
    for a shadow, which scales the light so that chroma shrinks with lightness.
    noise: the distance that 95 % of the pixels known to be backdrop stay under.
    """

    distance: Floats
    darker: Floats
    tint: Floats
    noise: float

    @property
    def is_studio(self) -> bool:
        return self.noise < STUDIO_NOISE

    @property
    def kind(self) -> Literal["studio", "scene"]:
        return "studio" if self.is_studio else "scene"

    @property
    def threshold(self) -> float:
        """The distance from which a pixel counts as something else."""
        return max(1.2, 1.6 * self.noise)

    def shaded(self, tolerance: Floats | float = 0.0) -> Mask:
        """Pixels that may be backdrop in shadow: darker, and of its hue within `tolerance` ΔE."""
        allowed = np.maximum(tolerance, np.maximum(1.2, 0.1 * self.darker))
        dimmed = (self.darker > 0) & (self.darker < SHADOW_DEPTH)
        return np.asarray(dimmed & (self.tint < allowed))


def lab(rgb: NDArray[np.uint8]) -> Floats:
    """sRGB to CIE Lab, D65: L 0..100, a and b about ±100."""
    converted: Floats = pyvips.Image.new_from_array(rgb).colourspace("lab").numpy()
    return converted


def measure_backdrop(lab_pixels: Floats, known: Mask) -> Backdrop:
    """Fit the surface to the `known` backdrop pixels and compare every pixel with it."""
    coefficients, noise = _fit(lab_pixels, known)
    surface = np.stack(
        [_quadratic(channel, lab_pixels.shape[:2]) for channel in coefficients.T], axis=-1
    )
    residual = lab_pixels - surface
    dimming = lab_pixels[..., 0] / np.maximum(surface[..., 0], 1)
    return Backdrop(
        distance=_length(residual),
        darker=-residual[..., 0],
        tint=_length(lab_pixels[..., 1:] - surface[..., 1:] * dimming[..., None]),
        noise=noise,
    )


def guess_subject(lab_pixels: Floats) -> Floats:
    """Subject probability (height, width) without a model: what the backdrop does not explain.

    Trusts that the picture's frame is backdrop; everything that is not joined to the frame by
    backdrop-like or merely shaded pixels is subject.
    """
    shape = lab_pixels.shape[:2]
    frame = filters.border(shape, depth=max(shape) // 50)
    backdrop = measure_backdrop(lab_pixels, frame)
    plain = (backdrop.distance < 2 * backdrop.threshold) | backdrop.shaded()
    outside = filters.touching(plain, filters.border(shape))
    return (~outside).astype(np.float32)


def _fit(lab_pixels: Floats, known: Mask) -> tuple[Floats, float]:
    """Coefficients (6, 3) by three rounds of reweighted least squares, and the noise in ΔE."""
    sample = (slice(None, None, SAMPLE_STEP), slice(None, None, SAMPLE_STEP))
    rows, columns = np.nonzero(known[sample])
    if rows.size < 64:
        return np.zeros((6, 3), dtype=np.float32), NO_BACKDROP
    colours = lab_pixels[sample][rows, columns]
    height, width = known.shape
    basis = _basis(rows * SAMPLE_STEP * 2 / height - 1, columns * SAMPLE_STEP * 2 / width - 1)
    weights = np.ones(rows.size)
    for _ in range(3):
        root = np.sqrt(weights)[:, None]
        solution, *_rest = np.linalg.lstsq(basis * root, colours * root, rcond=None)
        error = np.linalg.norm(colours - basis @ solution, axis=1)
        weights = 1 / (1 + (error / max(0.5, 2 * float(np.median(error)))) ** 2)
    return solution.astype(np.float32), float(np.percentile(error, 95))


def _length(vectors: Floats) -> Floats:
    return np.asarray(np.sqrt(np.einsum("hwc,hwc->hw", vectors, vectors)))


def _basis(y: NDArray[np.floating], x: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1).astype(np.float64)


def _quadratic(c: Floats, shape: tuple[int, int]) -> Floats:
    """One channel of the surface over the whole picture."""
    height, width = shape
    y = (np.arange(height, dtype=np.float32) * 2 / height - 1)[:, None]
    x = (np.arange(width, dtype=np.float32) * 2 / width - 1)[None, :]
    return np.asarray(c[0] + (c[1] + c[3] * x) * x + (c[2] + c[4] * x + c[5] * y) * y)
