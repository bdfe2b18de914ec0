"""BACKGROUND_SWAP_*: the product stays where it is in its photo; what is behind it changes."""

from typing import Annotated, Literal

import msgspec

from backend.workflows.pictures import JPEG_AND_WEBP, HexColour, Outputs, ShadowChoice
from backend.workflows.registry import Workflow
from backend.workflows.stages import Stage, StageFile, StageName

SEGMENT = Stage(
    StageName.SEGMENT,
    "Cut out the product",
    inputs=(StageFile.SOURCE,),
    outputs=(StageFile.MASK, StageFile.CUTOUT),
)
ENCODE_SWAP = Stage(StageName.ENCODE_SWAP, "Saved the pictures", inputs=(StageFile.MASTER,))


class BackgroundSwap(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The picture has the photo's shape."""

    shadow: ShadowChoice = "contact"
    outputs: Outputs = JPEG_AND_WEBP


class BackgroundSwapWithImage(
    BackgroundSwap, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """The background is cropped to the photo's shape."""


class BackgroundSwapWithSpec(BackgroundSwap, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A backdrop drawn to order, the same for the same words."""

    scene_type: Literal["studio", "tabletop", "wall", "spotlight"]
    mood: Literal["neutral", "bright", "warm", "cool", "dramatic"] = "neutral"
    dominant_colors: Annotated[
        tuple[HexColour, ...],
        msgspec.Meta(min_length=1, max_length=3, description="Backdrop, floor, accent."),
    ] = ("#e8e4de",)


BACKGROUND_SWAP_WITH_IMAGE = Workflow(
    name="background-swap-with-image",
    job_type="BACKGROUND_SWAP_WITH_IMAGE",
    summary="Set the product before an uploaded picture",
    op_class="edit",
    credits_cost=5,
    parameters=BackgroundSwapWithImage,
    upload_fields=("background_upload_key",),
    stages=(
        Stage(
            StageName.FETCH,
            "Fetched the pictures",
            outputs=(StageFile.SOURCE, StageFile.BACKGROUND),
        ),
        Stage(
            StageName.VALIDATE,
            "Checked the pictures",
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
    summary="Set the product before a studio backdrop drawn to order",
    op_class="edit",
    credits_cost=5,
    parameters=BackgroundSwapWithSpec,
    for_visitors=True,
    stages=(
        Stage(StageName.FETCH, "Fetched the pictures", outputs=(StageFile.SOURCE,)),
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
