"""Workflows that do nothing, so that all that is left of a job is what the worker does for it.

They are registered in the benchmark's own processes and tests; the product has no such thing.
"""

import asyncio

from backend.renderers.base import Rendered, RenderRequest
from backend.workflows.pictures import ProductPhoto
from backend.workflows.registry import Stage, Workflow

WAIT = 0.05  # seconds, as a stage waits for somebody else's machine


def single_stage(name: str) -> Workflow:
    """A workflow of that stage alone."""
    return Workflow(
        name=name,
        job_type=name.upper(),
        summary="Nothing",
        op_class="catalog",
        credits_cost=0,
        request=ProductPhoto,
        stages=(Stage(name, "Did nothing"),),
    )


NOTHING, WAITING = single_stage("nothing"), single_stage("waiting")
BY_JOB_TYPE = {workflow.job_type: workflow for workflow in (NOTHING, WAITING)}


class Idler:
    """The engine of these stages, which needs no child process."""

    name = "idler"

    async def render(self, request: RenderRequest) -> Rendered:
        """No files and no facts, at once or after a while."""
        if request.stage == WAITING.name:
            await asyncio.sleep(WAIT)
        return Rendered(files=[], facts={})

    async def close(self) -> None:
        """Nothing is held."""
