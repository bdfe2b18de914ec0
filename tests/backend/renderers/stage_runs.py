"""Run a workflow's stages one after the other, as the worker does."""

import json
from typing import Any

import msgspec

from backend.renderers.base import Rendered, RenderedFile, RenderRequest
from backend.renderers.local import LocalRenderer
from backend.workflows.registry import Workflow


class JobRun(msgspec.Struct, kw_only=True):
    """The bytes at hand, the files made and the facts answered, each by name."""

    data: dict[str, bytes]
    facts: dict[str, Any] = {}
    made: dict[str, RenderedFile] = {}

    def finals(self) -> list[RenderedFile]:
        return [file for file in self.made.values() if file.role == "final"]


async def run(renderer: LocalRenderer, workflow: Workflow, start: JobRun, **params: Any) -> JobRun:
    """Every stage that `start` has no facts of; `fetch` is the worker's own."""
    bench = JobRun(data=dict(start.data), facts=dict(start.facts), made=dict(start.made))
    for stage in workflow.stages:
        if stage.name == "fetch":
            bench.facts["fetch"] = {"sources": {"source": {"bytes": 1}}}
        elif stage.name not in bench.facts:
            inputs = {name: bench.data[name] for name in stage.inputs}
            # Facts come back from the database as JSON.
            sent = {**params, "facts": json.loads(json.dumps(bench.facts))}
            keep(
                bench,
                stage.name,
                await renderer.render(RenderRequest(stage=stage.name, inputs=inputs, params=sent)),
            )
    return bench


def keep(bench: JobRun, stage: str, rendered: Rendered) -> None:
    bench.facts[stage] = rendered.facts
    bench.made |= {file.name: file for file in rendered.files}
    bench.data |= {file.name: file.data for file in rendered.files}


async def ask(
    renderer: LocalRenderer, stage: str, params: dict[str, Any] | None = None, **inputs: bytes
) -> Rendered:
    """One stage by itself."""
    return await renderer.render(RenderRequest(stage=stage, inputs=inputs, params=params or {}))
