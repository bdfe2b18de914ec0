"""CATALOG_IMAGE: the product, cut out, on a clean square background, in several sizes."""

from typing import Annotated

import msgspec

from backend.workflows.pictures import JPEG_AND_WEBP, HexColour, Outputs, ShadowChoice
from backend.workflows.registry import Workflow
from backend.workflows.stages import Stage, StageFile, StageName


class CatalogImage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`margin` is the empty border as a fraction of the side."""

    background: HexColour = "#ffffff"
    margin: Annotated[float, msgspec.Meta(ge=0, le=0.4)] = 0.08
    shadow: ShadowChoice = "none"
    outputs: Outputs = JPEG_AND_WEBP


CATALOG_IMAGE = Workflow(
    name="catalog-image",
    job_type="CATALOG_IMAGE",
    summary="Cut out the product and place it on a clean square background",
    op_class="catalog",
    credits_cost=1,
    parameters=CatalogImage,
    stages=(
        Stage(StageName.FETCH, "Fetched the product photo", outputs=(StageFile.SOURCE,)),
        Stage(StageName.VALIDATE, "Checked the photo", inputs=(StageFile.SOURCE,)),
        Stage(
            StageName.SEGMENT,
            "Cut out the product",
            inputs=(StageFile.SOURCE,),
            outputs=(StageFile.MASK, StageFile.CUTOUT),
        ),
        Stage(
            StageName.COMPOSE,
            "Placed it on the background",
            inputs=(StageFile.CUTOUT,),
            outputs=(StageFile.MASTER,),
        ),
        Stage(StageName.ENCODE, "Saved the catalog images", inputs=(StageFile.MASTER,)),
    ),
)
