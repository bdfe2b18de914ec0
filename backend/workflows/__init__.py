"""The registry of workflows."""

from backend.workflows.background_swap import (
    BACKGROUND_SWAP_WITH_IMAGE,
    BACKGROUND_SWAP_WITH_SPEC,
)
from backend.workflows.catalog_image import CATALOG_IMAGE
from backend.workflows.product_to_model import PRODUCT_TO_MODEL_DIRECT
from backend.workflows.registry import by_job_type

WORKFLOWS = by_job_type(
    CATALOG_IMAGE,
    PRODUCT_TO_MODEL_DIRECT,
    BACKGROUND_SWAP_WITH_IMAGE,
    BACKGROUND_SWAP_WITH_SPEC,
)
BY_NAME = {workflow.name: workflow for workflow in WORKFLOWS.values()}
