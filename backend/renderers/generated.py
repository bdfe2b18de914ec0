"""Finals of what a hosted engine made: labelled as generated, in the file too, and judged."""

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from backend.imaging.encode import decode_own
from backend.imaging.generated import GarmentComparison, GeneratedQuality, verdict_on_generated
from backend.imaging.likeness import compare_garment, is_unchanged
from backend.imaging.source_type import DigitalSourceType
from backend.imaging.subject import SubjectNet
from backend.renderers.base import Rendered, RenderRequest
from backend.renderers.files import SegmentFacts, is_outline_doubtful
from backend.renderers.finals import encode_outputs
from backend.renderers.requests import (
    PhotoFacts,
    bad_render_request,
    earlier_facts,
    input_of,
    job_outputs,
)
from backend.workflows import WORKFLOWS
from backend.workflows.stages import StageFile, StageName

# The kind of the finals, after the stage that made the picture, and how their names begin.
KINDS = {
    StageName.DRESS: ("on_model_render", "model"),
    StageName.TRY_ON: ("on_model_render", "model"),
    StageName.SWAP_MODEL: ("on_model_render", "model"),
    StageName.LOOK: ("on_model_render", "look"),
    StageName.CHANGE_BACKGROUND: ("on_model_render", "model"),
    StageName.EXTRACT: ("extracted_garment", "garment"),
    StageName.GENERATE_MODEL: ("generated_model", "model"),
    StageName.GENERATE_BACKGROUND: ("generated_background", "background"),
    StageName.GENERATE_GARMENT: ("complementary_garment", "garment"),
}
# Of these nothing was photographed. All others show the merchant's garment, redrawn from a photo.
ALL_GENERATED = frozenset(
    {StageName.GENERATE_MODEL, StageName.GENERATE_BACKGROUND, StageName.GENERATE_GARMENT}
)
SHOWS_A_PERSON = frozenset(
    {
        StageName.DRESS,
        StageName.TRY_ON,
        StageName.SWAP_MODEL,
        StageName.LOOK,
        StageName.GENERATE_MODEL,
    }
)


class HostedFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Of a stage's facts: who made its picture, if that was a generative model."""

    generative: bool = False
    provider: str | None = None
    model: str | None = None
    seed: int | None = None


def encode_generated(request: RenderRequest, net: SubjectNet | None) -> Rendered:
    """`master`, as a hosted stage made it, → finals. Where they come from must not be guessed.

    With the `cutout` of the photo, the garment in the picture is compared with it.
    """
    made = hosted_stages(request)
    if not made:
        raise bad_render_request(f"{request.stage!r} needs the facts of a hosted stage")
    stage, facts = list(made.items())[-1]
    if stage not in KINDS:
        raise bad_render_request(f"{stage!r} makes no final picture")
    kind, stem = KINDS[stage]
    master = decode_own(input_of(request, StageFile.MASTER))
    about = _provenance(request, made, facts)
    comparison = _compared(request, master, net)

    def meta_of(final: NDArray[np.uint8]) -> dict[str, Any]:
        quality = _measured(master, final, comparison)
        return {
            **about,
            "quality": msgspec.to_builtins(quality),
            **msgspec.to_builtins(verdict_on_generated(quality)),
        }

    return encode_outputs(
        master,
        job_outputs(request),
        kind=kind,
        stem=stem,
        meta_of=meta_of,
        source_type=source_type_after(stage),
    )


def hosted_stages(request: RenderRequest) -> dict[StageName, HostedFacts]:
    """The facts of each stage that a generative model has made, in the workflow's order."""
    workflow = WORKFLOWS.get(request.job_type)
    names = [stage.name for stage in workflow.stages] if workflow else []
    known = {name: earlier_facts(request, name, HostedFacts) for name in names}
    return {name: facts for name, facts in known.items() if facts and facts.generative}


def source_type_after(stage: StageName) -> DigitalSourceType:
    """What a picture is that this stage has generated."""
    if stage in ALL_GENERATED:
        return DigitalSourceType.TRAINED_ALGORITHMIC_MEDIA
    return DigitalSourceType.EDITED_BY_MODEL


def _provenance(
    request: RenderRequest, made: dict[StageName, HostedFacts], last: HostedFacts
) -> dict[str, Any]:
    """Who made the picture, and each stage before it; a seed is null where none is known."""
    return {
        "generative": True,
        "is_preview": False,
        "synthetic_person": _has_synthetic_person(request, made),
        "provider": last.provider,
        "model": last.model,
        "seed": last.seed,
        "engine": {"name": last.provider, "model": last.model},
        "generated_by": [
            {
                "stage": stage,
                "provider": facts.provider,
                "model": facts.model,
                "seed": facts.seed,
            }
            for stage, facts in made.items()
        ],
    }


def _has_synthetic_person(request: RenderRequest, made: dict[StageName, HostedFacts]) -> bool:
    """Whether a person in it was invented: there was no photo of one, or a model had made it."""
    if not SHOWS_A_PERSON & made.keys():
        return False
    photos = earlier_facts(request, StageName.VALIDATE, PhotoFacts) or PhotoFacts()
    person = photos.person or photos.model
    return person is None or person.digital_source_type is not None


def _compared(
    request: RenderRequest, master: NDArray[np.uint8], net: SubjectNet | None
) -> GarmentComparison | None:
    if StageFile.CUTOUT not in request.inputs:
        return None
    cutout = decode_own(request.inputs[StageFile.CUTOUT])
    segmented = earlier_facts(request, StageName.SEGMENT, SegmentFacts)
    return GarmentComparison(
        likeness=compare_garment(cutout, master, net),
        is_unchanged=is_unchanged(cutout, master),
        is_certain=not is_outline_doubtful(segmented),
    )


def _measured(
    master: NDArray[np.uint8], final: NDArray[np.uint8], comparison: GarmentComparison | None
) -> GeneratedQuality:
    scale = max(final.shape[:2]) / max(master.shape[:2])
    longer, shorter = max(final.shape[:2]), min(final.shape[:2])
    return GeneratedQuality(
        scale=round(scale, 3),
        upscaled=scale > 1,
        aspect=round(longer / shorter, 3),
        comparison=comparison,
    )
