"""PRODUCT_TO_MODEL_PHASED: first the model, then the garment on it, then the background.

Each phase ends in a checkpoint with a picture. A model or a background of the catalog replaces the
one that would be invented.
"""

from typing import Annotated

import msgspec

from backend.workflows.further_images import BACKGROUND, FurtherImage
from backend.workflows.garments import WearableCategory
from backend.workflows.generated import (
    CUT_OUT_GARMENT,
    ENCODE_AND_COMPARE,
    PREPARE,
    Generated,
    fetch,
    validate_with,
)
from backend.workflows.people import InventedPerson
from backend.workflows.registry import Workflow
from backend.workflows.scenes import InventedScene
from backend.workflows.stages import Stage, StageFile, StageName


class ProductToModelPhased(Generated, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The garment on a model in front of a background.

    `person` has no effect with a `model_id`, and `scene` none with a background.
    """

    category: Annotated[
        WearableCategory | None, msgspec.Meta(description="Kind of garment; null lets it be found.")
    ] = None
    person: InventedPerson = InventedPerson()
    scene: InventedScene = InventedScene()


MODEL = FurtherImage(
    file=StageFile.MODEL,
    what="the model",
    entry_field="model_id",
    catalog="models",
    is_required=False,
)
PRODUCT_TO_MODEL_PHASED = Workflow(
    name="product-to-model-phased",
    job_type="PRODUCT_TO_MODEL_PHASED",
    summary="Show the garment on a model in front of a background",
    op_class="compose",
    credits_cost=10,
    parameters=ProductToModelPhased,
    further_images=(MODEL, msgspec.structs.replace(BACKGROUND, is_required=False)),
    stages=(
        fetch(StageFile.MODEL, StageFile.BACKGROUND),
        validate_with(optional=(StageFile.MODEL, StageFile.BACKGROUND)),
        PREPARE,
        CUT_OUT_GARMENT,
        Stage(StageName.GENERATE_MODEL, "Made the model", outputs=(StageFile.MODEL,)),
        Stage(
            StageName.TRY_ON,
            "Put the garment on the model",
            inputs=(StageFile.PRODUCT, StageFile.MODEL),
            outputs=(StageFile.DRESSED,),
        ),
        Stage(
            StageName.CHANGE_BACKGROUND,
            "Changed the background",
            inputs=(StageFile.DRESSED,),
            optional_inputs=(StageFile.BACKGROUND,),
            outputs=(StageFile.MASTER,),
        ),
        ENCODE_AND_COMPARE,
    ),
)
