"""What a job costs, in credits."""

from collections.abc import Mapping
from typing import Any

from backend.workflows.registry import Workflow


def price_of(workflow: Workflow, request: Mapping[str, Any]) -> int:
    """The price of a job that is made now; `jobs.credits_cost` keeps it for the job's life.

    Every workflow has a flat price so far. One that depends on the outputs that the `request` (as
    JSON) asks for is computed here, for all who show it or count it.
    """
    return workflow.credits_cost


def kept_price(stored: int | None, workflow: Workflow, request: Mapping[str, Any]) -> int:
    """The price of a job that is there; null was stored by a version that kept none."""
    return price_of(workflow, request) if stored is None else stored
