"""The token by which an engine that is paid by the call can tell a repeated request."""

from typing import Any

import msgspec
import pytest

from backend.failures.codes import RENDER_CRASHED
from backend.jobs.lifecycle import Checkpoint, lease_job
from backend.jobs.service import JobRef
from backend.leased_task import Retry
from backend.renderers.base import Rendered, RenderFailed, RenderRequest
from backend.worker.execute import run_job
from backend.worker.stages import JobRun, idempotency_token
from backend.workflows.catalog_image import CATALOG_IMAGE
from tests.running_app import RunningApp
from tests.scenarios import NoRenderer, new_shop, open_shared_app, waiting_job

shared_app = pytest.fixture(open_shared_app, scope="module")
shop = pytest.fixture(new_shop)
SEGMENT = CATALOG_IMAGE.stages[2]


class Failing(NoRenderer):
    """Fails at the first attempt at every stage, and notes what it was asked."""

    def __init__(self) -> None:
        self.requests: list[RenderRequest] = []

    async def render(self, request: RenderRequest) -> Rendered:
        """Fail the first time, as an outage would."""
        is_first = request.stage not in {each.stage for each in self.requests}
        self.requests.append(request)
        if is_first:
            raise RenderFailed(RENDER_CRASHED)
        return await super().render(request)


async def requests_of(shared_app: RunningApp, ref: JobRef) -> list[RenderRequest]:
    """Run the job to its end, attempt after attempt; what its engine was asked."""
    renderer = Failing()
    context = msgspec.structs.replace(shared_app.worker_context, renderer=renderer)
    while isinstance(await run_job(ref, context), Retry):
        assert len(renderer.requests) < 20, "it never ends"
    return renderer.requests


async def new_job(shared_app: RunningApp, shop: str, **parameters: Any) -> JobRef:
    """A job of a catalog image."""
    product = shared_app.product(b"unread", shop=shop)
    return await waiting_job(
        shared_app, shop=shop, request={"product_id": product.gid, **parameters}
    )


async def test_a_repeated_attempt_has_the_same_token_and_every_stage_its_own(
    shared_app: RunningApp, shop: str
) -> None:
    ref = await new_job(shared_app, shop)
    requests = await requests_of(shared_app, ref)
    stages = ["validate", "segment", "compose", "encode"]
    assert [each.stage for each in requests] == [name for name in stages for _ in range(2)]
    tokens = {each.stage: each.idempotency_token for each in requests}
    assert [each.idempotency_token for each in requests] == [
        tokens[each.stage] for each in requests
    ]
    assert len(set(tokens.values())) == len(stages)
    assert {(each.job_id, each.job_type) for each in requests} == {(ref.public_id, "CATALOG_IMAGE")}


async def test_another_job_has_other_tokens(shared_app: RunningApp, shop: str) -> None:
    first, second = [
        await requests_of(shared_app, await new_job(shared_app, shop)) for _ in range(2)
    ]
    tokens = {each.idempotency_token for each in first}
    assert tokens.isdisjoint(each.idempotency_token for each in second)


async def test_a_token_depends_on_the_parameters_and_on_the_input(
    shared_app: RunningApp, shop: str
) -> None:
    ref = await new_job(shared_app, shop, margin=0.1)
    async with shared_app.database.transaction() as connection:
        lease = await lease_job(connection, ref)
    assert lease is not None
    job_run = JobRun(lease, shared_app.worker_context)
    tokens: set[str] = set()
    for params, key in (({"margin": 0.1}, "a"), ({"margin": 0.2}, "a"), ({"margin": 0.1}, "b")):
        job_run.done["fetch"] = Checkpoint(
            files={"source": key, "unread": str(len(tokens))}, facts={}
        )
        tokens.add(idempotency_token(SEGMENT, job_run, params))
    assert len(tokens) == 3
    job_run.done["fetch"] = Checkpoint(files={"source": "a", "unread": "9"}, facts={})
    assert idempotency_token(SEGMENT, job_run, {"margin": 0.1}) in tokens
