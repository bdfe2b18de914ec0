"""Which workflows an installation offers: those it has not disabled and has an engine for."""

from collections.abc import Collection
from collections.abc import Set as AbstractSet

import msgspec

from backend.errors import WorkflowDisabled, WorkflowWithoutEngine
from backend.workflows import WORKFLOWS
from backend.workflows.registry import Workflow
from backend.workflows.stages import StageName


class WorkflowOffer(msgspec.Struct, frozen=True, kw_only=True):
    """The names of the workflows that nobody can ask for now, by the reason.

    `hosted` are those of which a provider outside this machine makes a part.
    """

    disabled: frozenset[str] = frozenset()
    without_engine: frozenset[str] = frozenset()
    hosted: frozenset[str] = frozenset()

    @property
    def closed(self) -> frozenset[str]:
        """The workflows that are not offered, for whatever reason."""
        return self.disabled | self.without_engine

    def require(self, workflow: Workflow) -> None:
        """Raise `WorkflowDisabled` or `WorkflowWithoutEngine` if the workflow is not offered."""
        if workflow.name in self.disabled:
            raise WorkflowDisabled
        if workflow.name in self.without_engine:
            raise WorkflowWithoutEngine

    def refusal(self, workflow: Workflow) -> str | None:
        """The code of the error that a request for the workflow gets; None if it is offered."""
        try:
            self.require(workflow)
        except (WorkflowDisabled, WorkflowWithoutEngine) as error:
            return error.code
        return None


def workflows_without_engine(available: AbstractSet[StageName]) -> frozenset[str]:
    """The names of the workflows that have a stage which no engine makes."""
    return frozenset(
        workflow.name
        for workflow in WORKFLOWS.values()
        if not {stage.name for stage in workflow.stages} <= {*available, StageName.FETCH}
    )


def hosted_workflows(stages: Collection[StageName]) -> frozenset[str]:
    """The names of the workflows that have one of these stages, which hosted providers make."""
    return frozenset(
        workflow.name
        for workflow in WORKFLOWS.values()
        if any(stage.name in stages for stage in workflow.stages)
    )
