"""Tell a finished cut-out from a photo that is only a little transparent.

Editors and phones write photos with an alpha of 254, with rounded corners, with a transparent pixel
or on transparent padding. All of these are rectangles, and a product hardly ever is.
"""

import numpy as np
from numpy.typing import NDArray

from backend.imaging import filters
from backend.imaging.filters import Floats

Box = tuple[slice, slice]

# The opaque share of the box around what is opaque; large rounded corners leave 0.97.
MIN_FILLED = 0.97


def photo_within(alpha: Floats) -> Box | None:
    """Rows and columns of the photo in a (height, width) alpha of 0..1; None for a cut-out."""
    solid = alpha > 0.5
    if not solid.any():
        return None
    box = filters.bounds(solid)
    return box if solid[box].mean() >= MIN_FILLED else None


def is_padded(alpha: Floats, box: Box) -> bool:
    """Whether that photo leaves more of the file empty than a thin border."""
    return bool(alpha[box].size < MIN_FILLED * alpha.size)


def opaque(rgb: NDArray[np.uint8], alpha: Floats) -> NDArray[np.uint8]:
    """The photo with the colour of its rim wherever it is transparent."""
    solid = alpha > 0.5
    rim = filters.border(solid.shape, depth=max(1, max(solid.shape) // 50)) & solid
    filled = np.ascontiguousarray(rgb)
    if rim.any() and not solid.all():
        filled = filled.copy()
        filled[~solid] = np.median(filled[rim], axis=0).astype(np.uint8)
    return filled
