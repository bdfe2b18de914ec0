"""How far a cut-out's alpha is from the true one."""

import numpy as np
from numpy.typing import NDArray

from backend.imaging import filters


def edge_error(alpha: NDArray[np.uint8], truth: filters.Floats) -> float:
    """Mean absolute alpha error within 6 px of the true outline, where all of the difficulty is."""
    near = filters.dilate((truth > 0) & (truth < 1), 6)
    return float(np.abs(alpha / 255 - truth)[near].mean())


def overlap(alpha: NDArray[np.uint8], truth: filters.Floats) -> float:
    """Intersection over union at one half."""
    return float(((alpha > 127) & (truth > 0.5)).sum() / ((alpha > 127) | (truth > 0.5)).sum())
