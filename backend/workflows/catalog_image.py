"""CATALOG_IMAGE: the product, cut out, on a clean square background, in several sizes."""

from typing import Annotated

import msgspec

from backend.workflows.pictures import JPEG_AND_WEBP, HexColour, Outputs, ProductPhoto, Shadow
from backend.workflows.registry import Stage, Workflow


class CatalogImage(ProductPhoto, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`margin` is the empty border as a fraction of the side."""

    background: HexColour = "#ffffff"
    margin: Annotated[float, msgspec.Meta(ge=0, le=0.4)] = 0.08
    shadow: Shadow = "none"
    outputs: Outputs = JPEG_AND_WEBP


CATALOG_IMAGE = Workflow(
    name="catalog-image",
    job_type="CATALOG_IMAGE",
    summary="Cut out the product and place it on a clean square background",
    op_class="catalog",
    credits_cost=1,
    request=CatalogImage,
    stages=(
        Stage("fetch", "Fetched the product photo"),
        Stage("validate", "Checked the photo", inputs=("source",)),
        Stage("segment", "Cut out the product", inputs=("source",)),
        Stage("compose", "Placed it on the background", inputs=("cutout",)),
        Stage("encode", "Saved the catalog images", inputs=("master",)),
    ),
)
