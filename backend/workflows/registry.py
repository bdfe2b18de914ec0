"""What Atelier can make: one `Workflow` each, in a small file of its own beside this one.

Light by design: the web process imports it. How a stage makes its pixels is `renderers`' matter.
"""

from collections.abc import Mapping

import msgspec


class Stage(msgspec.Struct, frozen=True):
    """A step that ends in a checkpoint.

    `inputs` names files of earlier stages; `done` is the line the merchant reads afterwards.
    """

    name: str
    done: str
    inputs: tuple[str, ...] = ()


class Workflow(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of job: its public names, its parameters and its stages in order."""

    name: str  # kebab-case, as in POST /v1/<name>
    job_type: str  # UPPER_SNAKE, as in a job's header
    parameters: type[msgspec.Struct]
    stages: tuple[Stage, ...]


def by_job_type(*workflows: Workflow) -> Mapping[str, Workflow]:
    """The registry: each workflow under its job type."""
    return {workflow.job_type: workflow for workflow in workflows}
