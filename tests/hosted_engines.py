"""Settings with a hosted engine for every stage that this machine does not make."""

from typing import Any

from backend.renderers.local import LOCAL_STAGES
from backend.workflows import WORKFLOWS
from backend.workflows.stages import StageName

HOSTED_STAGES = sorted(
    {stage.name for workflow in WORKFLOWS.values() for stage in workflow.stages}
    - LOCAL_STAGES
    - {StageName.FETCH}
)
HOSTED_WORKFLOWS = [
    workflow.name
    for workflow in WORKFLOWS.values()
    if any(stage.name in HOSTED_STAGES for stage in workflow.stages)
]
FASHN = {"change_background", "extract", "generate_model", "swap_model", "try_on"}
# Nothing is ever sent with these keys: a test that calls a provider gives a transport of its own.
WITH_ENGINES: dict[str, Any] = {
    "engines": ",".join(
        f"{stage}={'fashn' if stage in FASHN else 'gemini'}"
        for stage in HOSTED_STAGES
        if stage in FASHN
    ),
    "fashn_api_key": "fa-none",
}
