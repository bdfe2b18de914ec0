"""The garment on a mannequin: dress, then encode_render. A preview, and labelled as one.

A hosted engine may make `dress` instead; then `generated` encodes its picture.

A picture that would look wrong is not shown. Where the garment does not fit, or its outline is not
certain enough, the job delivers a plain catalog image on the same 4:5 canvas and says why. Soft
edges and a small photo do not prevent the preview: they change neither the outline's shape nor its
marks. It is made, and a person is asked to look at it.
"""

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from backend.failures.codes import CATEGORY_UNKNOWN
from backend.imaging.compose import compose
from backend.imaging.dress import ASPECT, draw, try_on
from backend.imaging.encode import decode_own, encode_png
from backend.imaging.quality import Concern
from backend.imaging.source_type import source_type_of
from backend.imaging.subject import SubjectNet
from backend.renderers.base import Rendered, RenderFailed, RenderRequest
from backend.renderers.files import (
    SegmentFacts,
    intermediate_png,
    is_outline_doubtful,
    stamp,
    verdict_of,
)
from backend.renderers.finals import encode_outputs, longest
from backend.renderers.generated import encode_generated, hosted_stages
from backend.renderers.requests import (
    bad_render_request,
    declared_types,
    earlier_facts,
    input_of,
    job_parameters,
)
from backend.workflows.product_to_model import GarmentCategory, MannequinBody, ProductToModelDirect
from backend.workflows.stages import StageFile, StageName

LABEL = "Mannequin preview — not a photo of a person"
# On fifteen real garments the one that looked wrong had 0.68, all others 0.96 and more.
MIN_FIT = 0.85
MARGIN = 0.08
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
    category: GarmentCategory
    body: MannequinBody
    size: int
    background: str
    scale: float
    upscaled: bool


def dress(request: RenderRequest) -> Rendered:
    """`cutout` → `master`, the garment on the mannequin or by itself."""
    parameters = job_parameters(request, ProductToModelDirect)
    segmented = earlier_facts(request, StageName.SEGMENT, SegmentFacts)
    rgb, facts = _drawn(decode_own(input_of(request, StageFile.CUTOUT)), parameters, segmented)
    meta = _meta(segmented, facts)
    height, width = rgb.shape[:2]
    file = intermediate_png(StageFile.MASTER, encode_png(rgb), (width, height), meta)
    return Rendered(files=[file], facts=msgspec.to_builtins(facts) | verdict_of(meta))


def encode_render(request: RenderRequest, net: SubjectNet | None) -> Rendered:
    """`master` → finals, of the kind that `dress`, here or by a hosted engine, says they are."""
    if StageName.DRESS in hosted_stages(request):
        return encode_generated(request, net)
    facts = earlier_facts(request, StageName.DRESS, DressFacts)
    if facts is None:  # whether it is a preview must never be guessed
        raise bad_render_request(f"{request.stage!r} needs the facts of 'dress'")
    meta = _meta(earlier_facts(request, StageName.SEGMENT, SegmentFacts), facts)
    return encode_outputs(
        decode_own(input_of(request, StageFile.MASTER)),
        job_parameters(request, ProductToModelDirect).outputs,
        kind="on_model_render" if facts.is_preview else "catalog_image",
        stem="mannequin" if facts.is_preview else "catalog",
        label=LABEL if facts.is_preview else None,
        meta_of=lambda _: meta,
        source_type=source_type_of(*declared_types(request), is_composite=facts.is_preview),
    )


def _drawn(
    cutout: NDArray[np.uint8], parameters: ProductToModelDirect, segmented: SegmentFacts | None
) -> tuple[NDArray[np.uint8], DressFacts]:
    size, background = longest(parameters.outputs), parameters.background
    if parameters.category is None:
        raise RenderFailed(CATEGORY_UNKNOWN)
    fitting = try_on(cutout, parameters.category, parameters.body)
    is_preview = fitting.quality >= MIN_FIT and not is_outline_doubtful(segmented)
    if is_preview:
        dressed = draw(fitting, size=size, background=background)
        rgb, scale = dressed.rgb, dressed.scale
    else:
        flat = compose(cutout, size=size, margin=MARGIN, background=background, aspect=ASPECT)
        rgb, scale = flat.rgb, flat.framing.scale
    return rgb, DressFacts(
        is_preview=is_preview,
        fit_q=fitting.quality,
        category=parameters.category,
        body=parameters.body,
        size=size,
        background=background,
        scale=scale,
        upscaled=scale > 1,
    )


def _meta(segment: SegmentFacts | None, facts: DressFacts) -> dict[str, Any]:
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
