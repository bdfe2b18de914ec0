"""BACKGROUND_SWAP_*: the product keeps its place in the photo; the background changes."""

from typing import Annotated, Literal

import msgspec

from backend.workflows.further_images import BACKGROUND
from backend.workflows.pictures import JPEG_AND_WEBP, HexColour, Outputs, ShadowChoice
from backend.workflows.registry import Workflow
from backend.workflows.scenes import MoodChoice
from backend.workflows.stages import Stage, StageFile, StageName

SEGMENT = Stage(
    StageName.SEGMENT,
    "Cut out the product",
    inputs=(StageFile.SOURCE,),
    outputs=(StageFile.MASK, StageFile.CUTOUT),
)
ENCODE_SWAP = Stage(StageName.ENCODE_SWAP, "Saved the images", inputs=(StageFile.MASTER,))


class BackgroundSwap(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The image has the photo's aspect ratio."""

    shadow: ShadowChoice = "contact"
    outputs: Outputs = JPEG_AND_WEBP


class BackgroundSwapWithImage(
    BackgroundSwap, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """The background image is cropped to the photo's aspect ratio."""


class BackgroundSwapWithSpec(BackgroundSwap, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A generated backdrop. The same parameters give the same backdrop."""

    scene_type: Literal["studio", "tabletop", "wall", "spotlight"]
    mood: MoodChoice = "neutral"
    dominant_colors: Annotated[
        tuple[HexColour, ...],
        msgspec.Meta(
            min_length=1, max_length=3, description="Colours of backdrop, floor and accent."
        ),
    ] = ("#e8e4de",)


BACKGROUND_SWAP_WITH_IMAGE = Workflow(
    name="background-swap-with-image",
    job_type="BACKGROUND_SWAP_WITH_IMAGE",
    summary="Place the product in front of an uploaded image",
    op_class="edit",
    credits_cost=5,
    parameters=BackgroundSwapWithImage,
    further_images=(BACKGROUND,),
    stages=(
        Stage(
            StageName.FETCH,
            "Fetched the images",
            outputs=(StageFile.SOURCE, StageFile.BACKGROUND),
        ),
        Stage(
            StageName.VALIDATE,
            "Checked the images",
            inputs=(StageFile.SOURCE, StageFile.BACKGROUND),
        ),
        SEGMENT,
        Stage(
            StageName.SWAP_WITH_IMAGE,
            "Changed the background",
            inputs=(StageFile.CUTOUT, StageFile.BACKGROUND),
            outputs=(StageFile.MASTER,),
        ),
        ENCODE_SWAP,
    ),
)
BACKGROUND_SWAP_WITH_SPEC = Workflow(
    name="background-swap-with-spec",
    job_type="BACKGROUND_SWAP_WITH_SPEC",
    summary="Place the product in front of a generated studio backdrop",
    op_class="edit",
    credits_cost=5,
    parameters=BackgroundSwapWithSpec,
    for_visitors=True,
    stages=(
        Stage(StageName.FETCH, "Fetched the images", outputs=(StageFile.SOURCE,)),
        Stage(StageName.VALIDATE, "Checked the photo", inputs=(StageFile.SOURCE,)),
        SEGMENT,
        Stage(
            StageName.SWAP_WITH_SPEC,
            "Drew the backdrop",
            inputs=(StageFile.CUTOUT,),
            outputs=(StageFile.MASTER,),
        ),
        ENCODE_SWAP,
    ),
)
