"""Finds the product: a probability for each pixel, from u2netp or from the backdrop alone.

u2netp is the small U²-Net (Qin et al. 2020, Apache-2.0 weights, 4.6 MB): it sees 320 × 320 pixels,
so it knows *what* to cut out, even white on white, but not exactly *where* the edge runs. The
cut-out refines that. Without the weights, `from_backdrop` serves photos on a plain backdrop.
"""

from pathlib import Path

import numpy as np
import pyvips
from numpy.typing import NDArray

from backend.imaging.filters import Floats
from backend.imaging.inference import open_network
from backend.imaging.weights import read_weights

NET_INPUT_SIDE = 320
# ImageNet statistics, as in U²-Net's own data_loader.py.
MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
DEVIATION = np.array([0.229, 0.224, 0.225], dtype=np.float32)


class SubjectNet:
    """A loaded u2netp; it takes up to a second and 80 MB to open, so keep it."""

    def __init__(self, weights: bytes, *, threads: int) -> None:
        self._infer = open_network(weights, threads=threads)

    def probability(self, rgb: NDArray[np.uint8]) -> Floats:
        """(320, 320) probability that a pixel belongs to the subject of an sRGB picture."""
        small = pyvips.Image.new_from_array(rgb).thumbnail_image(
            NET_INPUT_SIDE, height=NET_INPUT_SIDE, size="force"
        )
        pixels = small.numpy().astype(np.float32)
        pixels = (pixels / max(1.0, float(pixels.max())) - MEAN) / DEVIATION
        batch = np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])
        return np.asarray(self._infer(batch)[0, 0], dtype=np.float32)


def load_net(path: Path | None, *, threads: int = 1) -> SubjectNet | None:
    """The net with the weights at `path`, or None without weights that we know."""
    weights = read_weights(path)
    return None if weights is None else SubjectNet(weights, threads=threads)
