"""PRODUCT_TO_MODEL_DIRECT: the garment on a mannequin, as an honest preview, not as a person.

Where the garment does not fit the mannequin well, the job delivers a plain catalog image instead
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
    """The canvas is 4:5."""

    category: Annotated[GarmentCategory, msgspec.Meta(description="What the garment is.")]
    body: MannequinBody = "female"
    background: HexColour = "#f4f4f2"
    outputs: Outputs = JPEG_AND_WEBP


PRODUCT_TO_MODEL_DIRECT = Workflow(
    name="product-to-model-direct",
    job_type="PRODUCT_TO_MODEL_DIRECT",
    summary="Show the garment on a mannequin, as a preview",
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
        ),
        Stage(StageName.ENCODE_RENDER, "Saved the previews", inputs=(StageFile.MASTER,)),
    ),
)
