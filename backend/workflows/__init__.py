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
from backend.workflows.extract import EXTRACT
from backend.workflows.further_images import CatalogName
from backend.workflows.generators import (
    BACKGROUND_GENERATOR,
    COMPLEMENTARY_GARMENT_GENERATOR,
    MODEL_GENERATOR,
)
from backend.workflows.look import LOOK
from backend.workflows.model_swap import MODEL_SWAP_WITH_IMAGE
from backend.workflows.pictures import UPLOAD_FIELD_SUFFIX
from backend.workflows.product_to_model import PRODUCT_TO_MODEL_DIRECT
from backend.workflows.product_to_model_phased import PRODUCT_TO_MODEL_PHASED
from backend.workflows.registry import by_job_type
from backend.workflows.try_on import TRY_ON

WORKFLOWS = by_job_type(
    CATALOG_IMAGE,
    PRODUCT_TO_MODEL_DIRECT,
    PRODUCT_TO_MODEL_PHASED,
    TRY_ON,
    LOOK,
    EXTRACT,
    BACKGROUND_SWAP_WITH_IMAGE,
    BACKGROUND_SWAP_WITH_SPEC,
    MODEL_SWAP_WITH_IMAGE,
    MODEL_GENERATOR,
    BACKGROUND_GENERATOR,
    COMPLEMENTARY_GARMENT_GENERATOR,
)
BY_NAME = {workflow.name: workflow for workflow in WORKFLOWS.values()}
FOR_MANY_PRODUCTS = tuple(each for each in WORKFLOWS.values() if each.for_many_products)
# The fields of requests that name uploads.
UPLOAD_FIELDS = (
    UPLOAD_FIELD_SUFFIX,
    *dict.fromkeys(
        image.upload_field
        for workflow in WORKFLOWS.values()
        for image in workflow.further_images
        if image.upload_field
    ),
)
# The catalog that each field of a request names an entry of.
ENTRY_FIELDS: Mapping[str, CatalogName] = {
    image.entry_field: image.catalog
    for workflow in WORKFLOWS.values()
    for image in workflow.further_images
    if image.entry_field and image.catalog
}

# A workflow that is taken out of `WORKFLOWS` leaves its name here, under its job type.
RETIRED: Mapping[str, str] = {}


def name_of(job_type: str) -> str:
    """The workflow's public name, also of one that is not in the registry."""
    if job_type in WORKFLOWS:
        return WORKFLOWS[job_type].name
    return RETIRED.get(job_type, job_type.lower().replace("_", "-"))
