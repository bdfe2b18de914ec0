"""PRODUCT_TO_MODEL_DIRECT: the garment on a mannequin, or on a person by a hosted engine.

The mannequin is a preview. If the garment does not fit it well, the job delivers a catalog image
and says so.
"""

from typing import Annotated, Literal

import msgspec

from backend.workflows.pictures import JPEG_AND_WEBP, HexColour, Outputs
from backend.workflows.registry import Workflow
from backend.workflows.stages import Stage, StageFile, StageName

GarmentCategory = Literal["top", "bottom", "dress"]
MannequinBody = Literal["female", "male"]


class ProductToModelDirect(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The image has the aspect ratio 4:5."""

    category: Annotated[
        GarmentCategory | None,
        msgspec.Meta(
            description="Kind of garment. Null: told by the product's type and tags, which an "
            "upload or a media id does not have."
        ),
    ] = None
    body: MannequinBody = "female"
    background: HexColour = "#f4f4f2"
    outputs: Outputs = JPEG_AND_WEBP


PRODUCT_TO_MODEL_DIRECT = Workflow(
    name="product-to-model-direct",
    job_type="PRODUCT_TO_MODEL_DIRECT",
    summary="Show the garment on a person, or without a hosted engine on a mannequin",
    op_class="compose",
    credits_cost=10,
    parameters=ProductToModelDirect,
    for_visitors=True,
    is_preview=True,
    stages=(
        Stage(StageName.FETCH, "Fetched the product photo", outputs=(StageFile.SOURCE,)),
        Stage(StageName.VALIDATE, "Checked the photo", inputs=(StageFile.SOURCE,)),
        Stage(
            StageName.SEGMENT,
            "Cut out the garment",
            inputs=(StageFile.SOURCE,),
            outputs=(StageFile.MASK, StageFile.CUTOUT),
        ),
        Stage(
            StageName.DRESS,
            "Put it on the mannequin",
            inputs=(StageFile.CUTOUT,),
            outputs=(StageFile.MASTER,),
            done_generated="Put it on a person",
        ),
        # Of these, a picture by a hosted engine is compared with the cut-out.
        Stage(
            StageName.ENCODE_RENDER,
            "Saved the previews",
            inputs=(StageFile.MASTER, StageFile.CUTOUT),
            done_generated="Saved the images",
        ),
    ),
)
