"""The registry of workflows: those that are offered, and the names of those that are retired.

Rows may name a workflow that this release does not have: one that is retired, or one of a later
release. Such a row is shown under the workflow's name, but nothing new is made from it.
"""

from collections.abc import Mapping

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

# A workflow that is taken out of `WORKFLOWS` leaves its name here, under its job type.
RETIRED: Mapping[str, str] = {}


def name_of(job_type: str) -> str:
    """The workflow's public name, also of one that is not in the registry."""
    if job_type in WORKFLOWS:
        return WORKFLOWS[job_type].name
    return RETIRED.get(job_type, job_type.lower().replace("_", "-"))
