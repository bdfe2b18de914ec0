"""TRY_ON: the garment of the photo on a person whom the merchant chooses."""

from typing import Annotated

import msgspec

from backend.workflows.further_images import PERSON
from backend.workflows.garments import WearableCategory
from backend.workflows.generated import (
    CUT_OUT_GARMENT,
    ENCODE_AND_COMPARE,
    PREPARE,
    Generated,
    fetch,
    validate_with,
)
from backend.workflows.registry import Workflow
from backend.workflows.stages import Stage, StageFile, StageName


class TryOn(Generated, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The person keeps pose and background; the image has the aspect ratio of their photo."""

    category: Annotated[
        WearableCategory | None, msgspec.Meta(description="Kind of garment; null lets it be found.")
    ] = None


TRY_ON = Workflow(
    name="try-on",
    job_type="TRY_ON",
    summary="Show the garment on a person of your choice",
    op_class="compose",
    credits_cost=10,
    parameters=TryOn,
    further_images=(PERSON,),
    stages=(
        fetch(StageFile.PERSON),
        validate_with(StageFile.PERSON),
        PREPARE,
        CUT_OUT_GARMENT,
        Stage(
            StageName.TRY_ON,
            "Put the garment on the person",
            inputs=(StageFile.PRODUCT, StageFile.PERSON),
            outputs=(StageFile.MASTER,),
        ),
        ENCODE_AND_COMPARE,
    ),
)
