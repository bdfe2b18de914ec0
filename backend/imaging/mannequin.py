"""The mannequin: two images of a body without head and arms, and its reference points.

It has no arms on purpose: sleeves never fit another body's arms, and hang naturally without.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from backend.imaging.encode import decode_own
from backend.imaging.filters import Mask

BodyName = Literal["female", "male"]
PICTURES = files("backend.imaging") / "mannequins"


@dataclass(frozen=True)
class Mannequin:
    """`rgba`: (height, width, 4) uint8. All lengths are in its pixels, rows counted from the top.

    axis: the column that mirrors it. neck, shoulder, chest, hip: rows of its points.
    """

    rgba: NDArray[np.uint8]
    axis: float
    neck: float
    shoulder: float
    chest: float
    hip: float
    knee: float

    @cached_property
    def mask(self) -> Mask:
        """(height, width), where there is body."""
        return np.asarray(self.rgba[..., 3] > 127)

    @property
    def belt(self) -> float:
        """The row where trousers and skirts begin, which hides the seam of the picture."""
        return self.hip - 0.37 * (self.hip - self.chest)

    def width_at(self, row: float) -> int:
        """The body's width at that row."""
        columns = np.flatnonzero(self.mask[round(row)])
        return int(np.ptp(columns)) + 1

    @cached_property
    def waist(self) -> int:
        """The width where the body is narrowest between chest and hip."""
        return min(self.width_at(row) for row in range(round(self.chest), round(self.hip), 8))


def load_mannequin(name: BodyName) -> Mannequin:
    """Load one of the two bundled mannequins."""
    anchors = json.loads((PICTURES / "anchors.json").read_text())[name]["anchors"]
    return Mannequin(
        rgba=decode_own((PICTURES / f"{name}.webp").read_bytes()),
        axis=anchors["neck"][0],
        neck=anchors["neck"][1],
        shoulder=anchors["shoulder_l"][1],
        chest=anchors["chest"][1],
        hip=anchors["hip_c"][1],
        knee=anchors["knee_l"][1],
    )
