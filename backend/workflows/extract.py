"""EXTRACT: the garment by itself, from a photo in which somebody wears it."""

from typing import Annotated

import msgspec

from backend.workflows.garments import CategoryName
from backend.workflows.generated import ENCODE, PREPARE, VALIDATE, Generated, fetch
from backend.workflows.pictures import HexColour
from backend.workflows.registry import Workflow
from backend.workflows.stages import Stage, StageFile, StageName


class Extract(Generated, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A product photo, laid flat, on a plain background."""

    category: Annotated[
        CategoryName | None,
        msgspec.Meta(description="Which garment of the photo; null is the main one."),
    ] = None
    background: HexColour = "#ffffff"


EXTRACT = Workflow(
    name="extract",
    job_type="EXTRACT",
    summary="Make a product photo from a photo in which a person wears the product",
    op_class="edit",
    credits_cost=1,
    parameters=Extract,
    stages=(
        fetch(),
        VALIDATE,
        PREPARE,
        Stage(
            StageName.EXTRACT,
            "Extracted the garment",
            inputs=(StageFile.PRODUCT,),
            outputs=(StageFile.MASTER,),
        ),
        ENCODE,
    ),
)
