"""LOOK: several garments on one person."""

from backend.workflows.further_images import PERSON, garment
from backend.workflows.generated import ENCODE, PREPARE, Generated, fetch, validate_with
from backend.workflows.registry import Workflow
from backend.workflows.stages import Stage, StageFile, StageName


class Look(Generated, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The photo's garment is the first; two to four garments are shown together.

    `POST /v1/compatibility/check` says whether they can be worn together.
    """


FURTHER_GARMENTS = (
    garment(2, StageFile.GARMENT_2),
    garment(3, StageFile.GARMENT_3),
    garment(4, StageFile.GARMENT_4),
)
LOOK = Workflow(
    name="look",
    job_type="LOOK",
    summary="Show several garments together on a person of your choice",
    op_class="compose",
    credits_cost=10,
    parameters=Look,
    further_images=(*FURTHER_GARMENTS, PERSON),
    for_many_products=False,
    stages=(
        fetch(*(each.file for each in FURTHER_GARMENTS), StageFile.PERSON),
        validate_with(
            StageFile.PERSON,
            StageFile.GARMENT_2,
            optional=(StageFile.GARMENT_3, StageFile.GARMENT_4),
        ),
        PREPARE,
        Stage(
            StageName.LOOK,
            "Put the garments on the person",
            inputs=(StageFile.PRODUCT, StageFile.GARMENT_2, StageFile.PERSON),
            optional_inputs=(StageFile.GARMENT_3, StageFile.GARMENT_4),
            outputs=(StageFile.MASTER,),
        ),
        ENCODE,
    ),
)
