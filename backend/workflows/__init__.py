"""The registry of workflows."""

from backend.workflows.catalog_image import CATALOG_IMAGE
from backend.workflows.registry import by_job_type

WORKFLOWS = by_job_type(CATALOG_IMAGE)
