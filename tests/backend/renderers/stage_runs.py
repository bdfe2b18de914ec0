"""Run a workflow's stages one after the other, as the worker does."""

import json
from typing import Any

import msgspec

from backend.renderers.base import Rendered, RenderedFile, RenderRequest
from backend.renderers.local import LocalRenderer
from backend.workflows.catalog_image import CATALOG_IMAGE
from backend.workflows.registry import Workflow
from backend.workflows.stages import StageName


class JobRun(msgspec.Struct, kw_only=True):
    """The bytes at hand, the files made and the facts answered, each by name."""

    data: dict[str, bytes]
    facts: dict[str, Any] = {}
    made: dict[str, RenderedFile] = {}

    def finals(self) -> list[RenderedFile]:
        return [file for file in self.made.values() if file.role == "final"]


async def run(renderer: LocalRenderer, workflow: Workflow, start: JobRun, **params: Any) -> JobRun:
    """Every stage that `start` has no facts of; `fetch` is the worker's own."""
    job_run = JobRun(data=dict(start.data), facts=dict(start.facts), made=dict(start.made))
    for stage in workflow.stages:
        if stage.name is StageName.FETCH:
            job_run.facts["fetch"] = {"sources": {"source": {"bytes": 1}}}
        elif stage.name not in job_run.facts:
            request = RenderRequest(
                stage=stage.name,
                inputs={str(name): job_run.data[name] for name in stage.inputs},
                job_type=workflow.job_type,
                params=params,
                # Facts come back from the database as JSON.
                facts=json.loads(json.dumps(job_run.facts)),
            )
            keep(job_run, stage.name, await renderer.render(request))
    return job_run


def keep(job_run: JobRun, stage: str, rendered: Rendered) -> None:
    """Add what a stage made."""
    job_run.facts[stage] = rendered.facts
    job_run.made |= {file.name: file for file in rendered.files}
    job_run.data |= {file.name: file.data for file in rendered.files}


async def ask(
    renderer: LocalRenderer,
    stage: str,
    params: dict[str, Any] | None = None,
    workflow: Workflow = CATALOG_IMAGE,
    **inputs: bytes,
) -> Rendered:
    """One stage by itself, of a job of that workflow."""
    request = RenderRequest(
        stage=stage, inputs=inputs, job_type=workflow.job_type, params=params or {}
    )
    return await renderer.render(request)
