"""Draws a garment on the mannequin, as a preview that cannot be mistaken for a photo of a person.

No pixel of the garment is repainted: it is scaled and laid over the body, and the body takes its
shadow.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.imaging import filters, layers
from backend.imaging.filters import Floats
from backend.imaging.fit import Category, Fit, fit_garment
from backend.imaging.garment import measure_garment
from backend.imaging.layers import Placed
from backend.imaging.mannequin import BodyName, Mannequin, load_mannequin
from backend.imaging.shadow import Cast, cast_shadow, contact_shadow

ASPECT = 4 / 5
# The share of the picture's width that the garment may fill.
FILLS = 0.86
# Shadows that cloth casts on the body, one for its edge and one for its volume.
CAST = (
    Cast(right=0.0, down=0.004, blur=0.003, darkness=0.28),
    Cast(right=0.0, down=0.012, blur=0.014, darkness=0.25),
)


@dataclass(frozen=True)
class Fitting:
    """A garment on a body: its box in the cut-out, the body, and the fit.

    `fit` is None for an outline that tells nothing.
    """

    rgba: NDArray[np.uint8]
    category: Category
    body: Mannequin
    fit: Fit | None

    @property
    def quality(self) -> float:
        """0..1."""
        return self.fit.quality if self.fit else 0.0


@dataclass(frozen=True)
class Dressed:
    """`rgb`: (size, 4/5 · size, 3) uint8 sRGB; `scale`: the garment's enlargement of the photo."""

    rgb: NDArray[np.uint8]
    scale: float


def try_on(rgba: NDArray[np.uint8], category: Category, body_name: BodyName) -> Fitting:
    """Fit a (height, width, 4) cut-out to one of the bodies."""
    garment = rgba[filters.bounds(rgba[..., 3] > 127)]
    body = load_mannequin(body_name)
    fit = fit_garment(measure_garment(garment[..., 3]), body, category)
    return Fitting(garment, category, body, fit)


def draw(fitting: Fitting, *, size: int, background: str) -> Dressed:
    """Draw it on a 4:5 picture of `size` pixels' height and `background` (#rrggbb).

    There must be a fit.
    """
    assert fitting.fit is not None
    canvas = (round(size * ASPECT), size)
    start, end = _view(fitting, fitting.fit)
    zoom = size / (end - start)
    body, garment = _placed(fitting, fitting.fit, canvas, start, zoom)
    ground = layers.paper(*canvas, background)
    cloth = garment.small_alpha()
    ground = layers.darkened(ground, contact_shadow(np.maximum(cloth, body.small_alpha())))
    skin = _shaded(body.layer(), cast_shadow(cloth, CAST))
    rgb = layers.pixels(layers.over(garment.layer(), layers.over(skin, ground)))
    return Dressed(rgb, scale=round(garment.scale, 3))


def _view(fitting: Fitting, fit: Fit) -> tuple[float, float]:
    """First and last row of the body to show: the garment with some body above and below it."""
    body, height = fitting.body, fitting.body.rgba.shape[0]
    hem = fit.top + fitting.rgba.shape[0] * fit.scale
    if fitting.category == "bottom":
        start = body.chest + 0.4 * (body.belt - body.chest)
        end = max(hem + 0.08 * height, body.knee + 0.1 * height)
    else:
        start, end = 0.01 * height, max(hem + 0.14 * height, body.hip + 0.2 * height)
    if end > 0.88 * height:
        end = max(1.035 * height, hem + 0.04 * height)  # whole feet, and the floor below them
    wanted = 2 * _half_width(fitting, fit) / FILLS / ASPECT
    missing = max(0.0, wanted - (end - start))
    above = min(missing, max(0.0, start - 0.01 * height)) if fitting.category == "bottom" else 0.0
    return start - above, end + missing - above


def _half_width(fitting: Fitting, fit: Fit) -> float:
    """From the body's axis to the farther side of the garment."""
    right = fit.left + fitting.rgba.shape[1] * fit.scale
    return float(max(fitting.body.axis - fit.left, right - fitting.body.axis))


def _placed(
    fitting: Fitting, fit: Fit, canvas: tuple[int, int], start: float, zoom: float
) -> tuple[Placed, Placed]:
    """Body and garment in the picture, whose middle is the body's axis."""
    shift = canvas[0] / 2 - fitting.body.axis * zoom
    body = Placed(fitting.body.rgba, zoom, round(shift), round(-start * zoom), *canvas)
    left, top = shift + fit.left * zoom, (fit.top - start) * zoom
    garment = Placed(fitting.rgba, fit.scale * zoom, round(left), round(top), *canvas)
    return body, garment


def _shaded(layer: Any, shade: Floats) -> Any:
    """A premultiplied layer in shadow; its outline stays."""
    return layers.darkened(layer[0:3], shade).bandjoin(layer[3])
