"""Apps with a hosted engine for every stage that this machine does not make."""

import contextlib
import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import httpx
from msgspec.structs import replace

from backend.dev.transport import LoopbackShopify
from backend.renderers.local import LOCAL_STAGES
from backend.workflows import WORKFLOWS
from backend.workflows.stages import StageName
from tests.running_app import RunningApp, serve_app

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
        f"{stage}={'fashn' if stage in FASHN else 'gemini'}" for stage in HOSTED_STAGES
    ),
    "fashn_api_key": "fa-none",
    "gemini_api_key": "none",
}


@contextlib.asynccontextmanager
async def app_with(shared_app: RunningApp, **changes: Any) -> AsyncIterator[RunningApp]:
    """The same app with other settings of its web process."""
    async with (
        serve_app(
            replace(shared_app.settings, **changes), LoopbackShopify(shared_app.shopify.origin)
        ) as url,
        httpx.AsyncClient(base_url=url, timeout=30) as http,
    ):
        yield dataclasses.replace(shared_app, http=http)
