"""Soft shadows: where the product stands on the ground, and on a surface close behind it.

All take and give (height, width) arrays: an alpha in 0..1 of the whole picture with the product in
its place, and the share of light taken. A picture of a quarter of the size will do.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from backend.imaging import filters
from backend.imaging.filters import Floats

ShadowKind = Literal["none", "contact"]

# Everything below in shares of the product's height or width, and of the light.
REACH = 0.03  # how far above the ground a contour's shadow has faded to a third
DEPTH = 0.02  # how far the product reaches back from its front edge
CONTACT = (0.006, 0.38)  # blur and darkness of the line where it stands
AMBIENT = (0.035, 0.7)  # of the light it takes from the ground around
# Free of shadow along the picture's edge: corners are promised to be exactly the background.
RIM = (0.025, 0.08)


@dataclass(frozen=True)
class Cast:
    """One shadow on a surface behind: its shift and blur as shares of the picture's height."""

    right: float
    down: float
    blur: float
    darkness: float


def cast_shadow(alpha: Floats, casts: tuple[Cast, ...]) -> Floats:
    """The product's own shape, shifted and blurred, as it falls on a wall or on a body."""
    height = alpha.shape[0]
    kept = np.ones_like(alpha)
    for cast in casts:
        moved = _shifted(alpha, round(cast.down * height), round(cast.right * height))
        kept *= 1 - cast.darkness * filters.blur(moved, max(0.8, cast.blur * height))
    return np.asarray(1 - kept)


def contact_shadow(alpha: Floats) -> Floats:
    """A shadow that is dark where the product touches the ground, and fades away from it.

    The ground is taken to be level with the product's lowest point. What comes down to it casts a
    shadow (a hem, both trouser legs, a bag's corners); what ends above, like a sleeve, casts less.
    """
    low = alpha[-1] > 0.5
    if low.mean() > 0.005 or not (alpha > 0.5).any():
        return np.zeros_like(alpha)  # it leaves the picture below, and the ground with it
    footprint = _footprint(alpha)
    height = np.ptp(np.flatnonzero((alpha > 0.5).any(axis=1))) + 1
    kept = np.ones_like(alpha)
    for blur, darkness in (CONTACT, AMBIENT):
        kept *= 1 - darkness * filters.blur(footprint, max(1.0, blur * height))
    return np.asarray((1 - kept) * _window(alpha.shape))


def _shifted(alpha: Floats, down: int, right: int) -> Floats:
    """Both at least 0; what comes in is empty."""
    height, width = alpha.shape
    moved = np.zeros_like(alpha)
    moved[down:, right:] = alpha[: height - down, : width - right]
    return moved


def _footprint(alpha: Floats) -> Floats:
    """Where the product rests on the ground, seen from in front: flat, and as wide as it is low.

    Each column's lowest point lays down an ellipse's worth of itself, the fainter the higher it is.
    """
    solid = alpha > 0.5
    rows = np.arange(alpha.shape[0])[:, None]
    lowest = np.where(solid.any(axis=0), alpha.shape[0] - 1 - solid[::-1].argmax(axis=0), -1)
    top, ground = int(np.flatnonzero(solid.any(axis=1))[0]), int(lowest.max())
    height = ground - top + 1
    lift = ground - lowest
    weight = np.where(lowest >= 0, np.exp(-lift / (REACH * height)), 0)
    depth = max(1.0, DEPTH * height)
    # The ground a column stands on is a little lower on the screen than half way to its own foot.
    centre = ground - 0.35 * np.minimum(lift, 2 * depth)
    near = np.clip(1.5 - np.abs(rows - centre) / depth, 0, 1)
    return np.asarray(near * weight, dtype=np.float32)


def _window(shape: tuple[int, ...]) -> Floats:
    """1 inside, and exactly 0 along the picture's edge."""
    height, width = shape
    rows, columns = np.arange(height)[:, None], np.arange(width)[None, :]
    inwards = np.minimum(
        np.minimum(rows, height - 1 - rows) / height,
        np.minimum(columns, width - 1 - columns) / width,
    )
    return filters.smoothstep(*RIM, inwards.astype(np.float32))
