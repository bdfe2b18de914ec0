"""The registry of workflows.

A row may name a workflow that this release does not have: one that was retired, or one of a later
release. It is shown under its name; nothing new is made of it.
"""

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


def name_of(job_type: str) -> str:
    """The workflow's public name, also of one that the registry does not have any more."""
    known = WORKFLOWS.get(job_type)
    return known.name if known else job_type.lower().replace("_", "-")
