"""BACKGROUND_SWAP_*: the product keeps its place in the photo; the background changes."""

from typing import Annotated, Literal

import msgspec

from backend.workflows.pictures import (
    JPEG_AND_WEBP,
    HexColour,
    Outputs,
    ProductPhoto,
    Shadow,
    UploadKey,
)
from backend.workflows.registry import Stage, Workflow

FETCH = Stage("fetch", "Fetched the images")
CUT_OUT = Stage("segment", "Cut out the product", inputs=("source",))
SAVE = Stage("encode_swap", "Saved the images", inputs=("master",))


class BackgroundSwapWithImage(ProductPhoto, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The background image is cropped to the photo's aspect ratio."""

    background_upload_key: UploadKey
    shadow: Shadow = "contact"
    outputs: Outputs = JPEG_AND_WEBP


class BackgroundSwapWithSpec(ProductPhoto, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A generated backdrop. The same parameters give the same backdrop."""

    scene_type: Literal["studio", "tabletop", "wall", "spotlight"]
    mood: Literal["neutral", "bright", "warm", "cool", "dramatic"] = "neutral"
    dominant_colors: Annotated[
        tuple[HexColour, ...],
        msgspec.Meta(
            min_length=1, max_length=3, description="Colours of backdrop, floor and accent."
        ),
    ] = ("#e8e4de",)
    shadow: Shadow = "contact"
    outputs: Outputs = JPEG_AND_WEBP


BACKGROUND_SWAP_WITH_IMAGE = Workflow(
    name="background-swap-with-image",
    job_type="BACKGROUND_SWAP_WITH_IMAGE",
    summary="Place the product in front of an uploaded image",
    op_class="edit",
    credits_cost=5,
    request=BackgroundSwapWithImage,
    stages=(
        FETCH,
        Stage("validate", "Checked the images", inputs=("source", "background")),
        CUT_OUT,
        Stage("swap_with_image", "Changed the background", inputs=("cutout", "background")),
        SAVE,
    ),
)
BACKGROUND_SWAP_WITH_SPEC = Workflow(
    name="background-swap-with-spec",
    job_type="BACKGROUND_SWAP_WITH_SPEC",
    summary="Place the product in front of a generated studio backdrop",
    op_class="edit",
    credits_cost=5,
    request=BackgroundSwapWithSpec,
    callers=frozenset({"merchant", "storefront"}),
    stages=(
        FETCH,
        Stage("validate", "Checked the photo", inputs=("source",)),
        CUT_OUT,
        Stage("swap_with_spec", "Drew the backdrop", inputs=("cutout",)),
        SAVE,
    ),
)
