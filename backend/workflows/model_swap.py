"""MODEL_SWAP_WITH_IMAGE: the person in the photo is replaced; what they wear stays."""

from backend.workflows.further_images import PERSON
from backend.workflows.generated import ENCODE, PREPARE, Generated, fetch, validate_with
from backend.workflows.registry import Workflow
from backend.workflows.stages import Stage, StageFile, StageName


class ModelSwapWithImage(Generated, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The photo shows the product on a person. Clothes, pose and background stay."""


MODEL_SWAP_WITH_IMAGE = Workflow(
    name="model-swap-with-image",
    job_type="MODEL_SWAP_WITH_IMAGE",
    summary="Replace the person who wears the product",
    op_class="edit",
    credits_cost=5,
    parameters=ModelSwapWithImage,
    further_images=(PERSON,),
    stages=(
        fetch(StageFile.PERSON),
        validate_with(StageFile.PERSON),
        PREPARE,
        Stage(
            StageName.SWAP_MODEL,
            "Replaced the person",
            inputs=(StageFile.PRODUCT, StageFile.PERSON),
            outputs=(StageFile.MASTER,),
        ),
        ENCODE,
    ),
)
