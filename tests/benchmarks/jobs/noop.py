"""Workflows that do nothing, so that all that is left of a job is what the worker does for it.

They are registered in the benchmark's own processes and tests; the product has no such thing.
"""

import asyncio

import msgspec

from backend.renderers.base import Rendered, RenderRequest
from backend.workflows.registry import Workflow
from backend.workflows.stages import Stage, StageName

WAIT = 0.05  # seconds, as a stage waits for somebody else's machine


class NoParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """There is nothing to choose."""


def single_stage(name: str, stage: StageName) -> Workflow:
    """A workflow of that stage alone."""
    return Workflow(
        name=name,
        job_type=name.upper(),
        summary="Nothing",
        op_class="catalog",
        credits_cost=0,
        parameters=NoParameters,
        stages=(Stage(stage, "Did nothing"),),
    )


NOTHING = single_stage("nothing", StageName.ENCODE)
WAITING = single_stage("waiting", StageName.SEGMENT)
BY_JOB_TYPE = {workflow.job_type: workflow for workflow in (NOTHING, WAITING)}


class Idler:
    """The engine of every stage, which needs no child process."""

    name = "idler"
    stages = frozenset(StageName) - {StageName.FETCH}

    async def render(self, request: RenderRequest) -> Rendered:
        """No files and no facts, at once or after a while."""
        if request.job_type == WAITING.job_type:
            await asyncio.sleep(WAIT)
        return Rendered(files=[], facts={})

    async def close(self) -> None:
        """Nothing is held."""
