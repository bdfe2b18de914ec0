"""Openings in the product that show the backdrop: a mug's handle, a ring, the loop of a strap.

A label or a print in the paper's colour looks the same, so both colour and the net are asked. When
they disagree, colour wins on coloured and grey paper, because the net takes a ring for a disc. On
white paper the net wins, because white prints and soles are common there. A disagreement is
reported as doubtful, unless the paper has a colour of its own.
"""

from dataclasses import dataclass

import numpy as np

from backend.imaging import filters
from backend.imaging.backdrop import Backdrop, Difference, Ringing
from backend.imaging.filters import Floats, Mask
from backend.imaging.regions import regions_of, touching

# Shares of the picture: smaller openings are noise; smaller doubts nobody would see.
MIN_OPENING = 2e-4
MIN_DOUBT = 2e-3
# Of an opening's pixels at least this share is backdrop in full light, the rest in shadow.
MIN_LIT = 0.3
# Mean probability up to which the net agrees that there is no product.
MAX_AGREED = 0.25
# CIE L* from which paper is white, or blown out, and tells nothing apart from a white print.
WHITE = 96


@dataclass(frozen=True)
class Openings:
    """mask: where the backdrop shows. doubtful: share of the picture in dispute."""

    mask: Mask
    doubtful: float


def find_openings(
    probability: Floats, light: Floats, backdrop: Backdrop, difference: Difference, ringing: Ringing
) -> Openings:
    """Judge each region of the backdrop's colour that does not reach the picture's frame."""
    lit = difference.distance < backdrop.threshold
    alike = lit | difference.shaded()
    enclosed = alike & ~touching(alike, filters.border(alike.shape))
    regions = regions_of(filters.dilate(filters.erode(enclosed, 1), 1) & enclosed)
    lit_share, believed, brightness = (
        regions.means(weights) for weights in (lit, probability, light)
    )
    shares = regions.inner_areas / enclosed.size
    agreed = believed < MAX_AGREED
    # On coloured paper even a shadow has the paper's hue.
    is_paper = (lit_share > MIN_LIT) & (brightness < WHITE) | backdrop.is_coloured
    opened = (shares > MIN_OPENING) & (agreed | is_paper)
    doubtful = (shares > MIN_DOUBT) & ~agreed & (lit_share > MIN_LIT)
    doubtful &= not (backdrop.is_coloured and opened.any())
    mask = _up_to_the_product(regions.drawn(opened), difference, ringing)
    return Openings(mask, float(shares[doubtful].sum()))


def _up_to_the_product(opened: Mask, difference: Difference, ringing: Ringing) -> Mask:
    """JPEG rings along the product's edge, so that the backdrop there is not quite its colour."""
    alike = (difference.distance < ringing.strength) | difference.shaded(ringing.strength)
    near = filters.dilate(opened, ringing.reach) & alike
    return np.asarray(opened | touching(near, opened))
