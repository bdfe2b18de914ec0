"""The garment on a mannequin: dress, then encode_render. A preview, and labelled as one.

A picture that would look wrong is not shown. Where the garment does not fit, or its outline is not
certain enough to hang it by, the job delivers a plain catalogue image on the same 4:5 paper and
says why. Soft edges and a small photo do not decide that: they spoil neither the outline's shape
nor its marks, so the preview is made and a person is asked to look at it.
"""

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from backend.imaging.compose import compose
from backend.imaging.dress import ASPECT, draw, try_on
from backend.imaging.encode import decode_own, encode_png
from backend.imaging.fit import Category
from backend.imaging.mannequin import BodyName
from backend.imaging.quality import Concern, verdict_on
from backend.renderers.base import Rendered, RenderRequest
from backend.renderers.files import (
    SegmentFacts,
    input_of,
    intermediate_png,
    invalid,
    stamp,
    verdict_of,
)
from backend.renderers.finals import JPEG_AND_WEBP, Outputs, encode_outputs, longest

LABEL = "Mannequin preview — not a photo of a person"
# On fifteen real garments the one that looked wrong had 0.68, all others 0.96 and more.
MIN_FIT = 0.85
MARGIN = 0.08
# What makes an outline too doubtful to hang a garment by; see `imaging.quality`.
OUTLINE_DOUBTS = {
    "NOT_MEASURED",
    "BUSY_BACKGROUND",
    "UNCERTAIN_OUTLINE",
    "LOW_CONTRAST",
    "CUT_OFF",
}
POOR_FIT = Concern(
    code="POOR_FIT",
    message="The garment does not fit the mannequin well, so it is shown without one. "
    "A photo straight from the front, with the whole garment laid flat or hung, works best.",
)
POOR_CUTOUT = Concern(
    code="POOR_CUTOUT",
    message="The garment's outline is not certain enough to put it on the mannequin, so it is "
    "shown without one. A photo on a plain background that differs from the garment works best.",
)


class DressFacts(msgspec.Struct, frozen=True, kw_only=True):
    """How the garment is shown: on the mannequin if `is_preview`, else without one.

    fit_q: 0..1. size: the longer side in pixels. scale: the garment's enlargement of the photo.
    """

    is_preview: bool
    fit_q: float
    category: Category
    body: BodyName
    size: int
    background: str
    scale: float
    upscaled: bool


class EarlierFacts(msgspec.Struct, frozen=True, kw_only=True):
    segment: SegmentFacts | None = None
    dress: DressFacts | None = None


class DressParams(msgspec.Struct, frozen=True, kw_only=True):
    """`background` is #rrggbb; the canvas is 4:5, the size of an output its height."""

    category: Category
    body: BodyName = "female"
    background: str = "#f4f4f2"
    outputs: Outputs = JPEG_AND_WEBP
    facts: EarlierFacts = EarlierFacts()


def dress(request: RenderRequest) -> Rendered:
    """`cutout` → `master`, the garment on the mannequin or by itself."""
    params = msgspec.convert(request.params, DressParams)
    rgb, facts = _drawn(decode_own(input_of(request, "cutout")), params)
    meta = _story(params.facts.segment, facts)
    height, width = rgb.shape[:2]
    return Rendered(
        files=[intermediate_png("master", encode_png(rgb), (width, height), meta)],
        facts=msgspec.to_builtins(facts) | verdict_of(meta),
    )


def encode_render(request: RenderRequest) -> Rendered:
    """`master` → finals, which are what `dress` says that they are."""
    params = msgspec.convert(request.params, DressParams)
    facts = params.facts.dress
    if facts is None:  # whether it is a preview must never be guessed
        raise invalid("'encode_render' needs the facts of 'dress'")
    meta = _story(params.facts.segment, facts)
    return encode_outputs(
        input_of(request, "master"),
        params.outputs,
        kind="on_model_render" if facts.is_preview else "catalog_image",
        stem="mannequin" if facts.is_preview else "catalog",
        label=LABEL if facts.is_preview else None,
        story=lambda _: meta,
    )


def _drawn(cutout: NDArray[np.uint8], params: DressParams) -> tuple[NDArray[np.uint8], DressFacts]:
    size, background = longest(params.outputs), params.background
    fitting = try_on(cutout, params.category, params.body)
    is_preview = fitting.quality >= MIN_FIT and not _outline_doubted(params.facts.segment)
    if is_preview:
        dressed = draw(fitting, size=size, background=background)
        rgb, scale = dressed.rgb, dressed.scale
    else:
        flat = compose(cutout, size=size, margin=MARGIN, background=background, aspect=ASPECT)
        rgb, scale = flat.rgb, flat.framing.scale
    return rgb, DressFacts(
        is_preview=is_preview,
        fit_q=fitting.quality,
        category=params.category,
        body=params.body,
        size=size,
        background=background,
        scale=scale,
        upscaled=scale > 1,
    )


def _outline_doubted(segment: SegmentFacts | None) -> bool:
    reasons = verdict_on(segment.quality if segment else None).reasons
    return any(reason.code in OUTLINE_DOUBTS for reason in reasons)


def _story(segment: SegmentFacts | None, facts: DressFacts) -> dict[str, Any]:
    concerns: tuple[Concern, ...] = ()
    if not facts.is_preview:
        concerns = (POOR_FIT if facts.fit_q < MIN_FIT else POOR_CUTOUT,)
    about = {
        "is_preview": facts.is_preview,
        "synthetic_person": False,
        "fit_q": facts.fit_q,
        **({"renderer": "local-mannequin"} if facts.is_preview else {}),
    }
    return stamp(segment, facts, scale=facts.scale, concerns=concerns) | about
