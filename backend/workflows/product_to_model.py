"""PRODUCT_TO_MODEL_DIRECT: a preview of the garment on a mannequin, not on a person.

If the garment does not fit the mannequin well, the job delivers a catalog image and says so.
"""

from typing import Annotated, Literal

import msgspec

from backend.workflows.pictures import HexColour, Output, Outputs, ProductPhoto
from backend.workflows.registry import Stage, Workflow


class ProductToModelDirect(ProductPhoto, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The image has the aspect ratio 4:5."""

    category: Annotated[
        Literal["top", "bottom", "dress"], msgspec.Meta(description="Kind of garment.")
    ]
    body: Literal["female", "male"] = "female"
    background: HexColour = "#f4f4f2"
    outputs: Outputs = (Output(size=2048, format="jpeg"), Output(size=1024, format="webp"))


PRODUCT_TO_MODEL_DIRECT = Workflow(
    name="product-to-model-direct",
    job_type="PRODUCT_TO_MODEL_DIRECT",
    summary="Show the garment on a mannequin, as a preview",
    op_class="compose",
    credits_cost=10,
    request=ProductToModelDirect,
    callers=frozenset({"merchant", "storefront"}),
    is_preview=True,
    stages=(
        Stage("fetch", "Fetched the product photo"),
        Stage("validate", "Checked the photo", inputs=("source",)),
        Stage("segment", "Cut out the garment", inputs=("source",)),
        Stage("dress", "Put it on the mannequin", inputs=("cutout",)),
        Stage("encode_render", "Saved the previews", inputs=("master",)),
    ),
)
