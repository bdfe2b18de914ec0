"""Refines the last few pixels of the edge, and removes the backdrop's colour from them.

An edge pixel is a mixture, I = α·F + (1 − α)·B. A little inside the outline the product's colour F
is known, a little outside the backdrop's colour B, contact shadow included; both are carried into
the edge by normalised blurring. What remains is one unknown a pixel, and its projection onto the
line from B to F is the least-squares answer. The foreground colour follows as in Forte & Pitié,
"F, B, Alpha Matting" (2020), the blur-fusion estimate.
"""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from backend.imaging import filters
from backend.imaging.filters import Floats, Indices, Mask
from backend.imaging.parallel import in_parallel
from backend.imaging.regions import cleaned, touching

# How far from the outline a pixel may still be a mixture, and how far colours are carried.
EDGE_RADIUS = 3
SIGMA = 2.5
# A chain is so thin that less than this share of it is inside; then all of it has to do.
MIN_INSIDE = 0.1
# Enclosed openings below this share of the surroundings' area, some 14 px square, are noise.
PINHOLE = 5e-4
# RGB distance (0..1) between product and backdrop below which noise outweighs the projection.
WEAK, STRONG = 0.03, 0.08


def solve_edge(rgb: NDArray[np.uint8], alpha: Floats, *, trust_colour: bool) -> NDArray[np.uint8]:
    """(height, width, 4) uint8: the refined alpha, and colours free of the backdrop.

    `trust_colour` is for plain backdrops; on a scene the given alpha stands, since its surroundings
    are not one colour. Some of the alpha must be above zero.
    """
    box = filters.bounds(alpha > 0, margin=4 * EDGE_RADIUS)
    rgba = np.zeros((*alpha.shape, 4), dtype=np.uint8)
    rgba[box] = _solved(np.ascontiguousarray(rgb[box]), alpha[box], trust_colour)
    return rgba


def _solved(rgb: NDArray[np.uint8], alpha: Floats, trust_colour: bool) -> NDArray[np.uint8]:
    solid = alpha > 0.5
    inside, outside = filters.erode(solid, EDGE_RADIUS), ~filters.dilate(solid, EDGE_RADIUS)
    if np.count_nonzero(inside) < MIN_INSIDE * np.count_nonzero(solid):
        inside = solid
    known = inside | outside
    edge = np.flatnonzero(~known | ((alpha > 0) & (alpha < 1)))
    colours, mixture = _colours(rgb, edge), alpha.take(edge)
    carried = in_parallel(partial(_Carried, rgb, inside), partial(_Carried, rgb, outside))
    product, backdrop = (side.at(edge) for side in carried)
    if trust_colour:
        projected = _projected(colours, mixture, product, backdrop)
        mixture = np.where(known.take(edge), mixture, projected)
    # Close to 0 and 1 it is 0 and 1.
    mixture = np.clip((mixture - 0.03) / 0.94, 0, 1)
    solid = _without_dust(solid, edge, mixture)
    opacity = solid * np.uint8(255)
    np.put(opacity, edge, mixture * 255 + 0.5)
    rgba = filters.joined(rgb, opacity)
    mixed = np.flatnonzero((mixture > 0) & (mixture < 1))
    parts = (values[mixed] for values in (colours, mixture, product, backdrop))
    rgba.reshape(-1, 4)[edge[mixed], :3] = _foreground(*parts) * 255 + 0.5
    return rgba


def _colours(rgb: NDArray[np.uint8], where: Indices) -> Floats:
    """(n, 3) in 0..1 of the pixels with these numbers."""
    return rgb.reshape(-1, 3).take(where, axis=0).astype(np.float32) / 255


class _Carried:
    """Known colours, carried outwards; a wide blur fills in where the narrow one has no support.

    They change little from pixel to pixel, so half the size is enough to keep them in, and they are
    looked up only where they are wanted.
    """

    def __init__(self, rgb: NDArray[np.uint8], known: Mask) -> None:
        self._width = rgb.shape[1]
        half = filters.shrunk(filters.joined(rgb, known * np.uint8(255)), 2)
        weighted = half.astype(np.float32) / 255
        self._narrow = filters.blur(weighted, SIGMA / 2)
        self._wide = filters.blur(filters.shrunk(weighted, 4), SIGMA / 4)

    def at(self, where: Indices) -> Floats:
        """(n, 3) in 0..1 at the pixels with these numbers."""
        rows, columns = np.divmod(where, self._width)
        total = filters.sampled(self._narrow, 2, rows, columns)
        total += 1e-3 * filters.sampled(self._wide, 8, rows, columns)
        return np.asarray(total[:, :3] / np.maximum(total[:, 3:], 1e-9))


def _projected(pixels: Floats, alpha: Floats, product: Floats, backdrop: Floats) -> Floats:
    """Alpha from colour where product and backdrop differ enough to tell, else as given."""
    line = product - backdrop
    length = np.linalg.norm(line, axis=1)
    along = np.einsum("nc,nc->n", pixels - backdrop, line) / np.maximum(length**2, 1e-6)
    trust = filters.smoothstep(WEAK, STRONG, length)
    return np.asarray(trust * np.clip(along, 0, 1) + (1 - trust) * alpha)


def _without_dust(solid: Mask, edge: Indices, mixture: Floats) -> Mask:
    """The product without islands and pinholes beside the edge; they leave the mixture, too.

    `mixture` is the alpha at `edge`; elsewhere it is 1 where the mask is true, and 0.
    """
    np.put(solid, edge, mixture > 0.5)
    visible = solid.copy()
    np.put(visible, edge, mixture > 0)
    product = cleaned(solid, specks=0.02, pinholes=PINHOLE)
    kept = touching((visible & ~solid) | product, product)
    mixture[(product & ~solid).take(edge)] = 1
    mixture[~kept.take(edge)] = 0
    return product


def _foreground(pixels: Floats, alpha: Floats, product: Floats, backdrop: Floats) -> Floats:
    """F: the carried product colour plus what the mixture leaves unexplained."""
    a = alpha[:, None]
    unexplained = pixels - a * product - (1 - a) * backdrop
    return np.asarray(np.clip(product + a * unexplained, 0, 1))
