"""From a generator's job to the catalog, into another job, and its rerun; with real pixels."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from backend.workflows.stages import StageName
from tests.backend.worker.hosted import FakeProvider, finished
from tests.hosted_engines import WITH_ENGINES, app_with
from tests.running_app import GARMENTS, SHOP, RunningApp

pytestmark = pytest.mark.slow


class FakeGenerator(FakeProvider):
    """Answers each request at once, with a photo."""

    async def submit(self, request: Any) -> Any:
        self.requests.append(request)
        answer = finished((GARMENTS / "tee_navy.jpg").read_bytes())
        return msgspec.structs.replace(answer, seed=request.seed)


async def test_a_generated_model_can_be_used_and_made_again(running_app: RunningApp) -> None:
    provider = FakeGenerator(name="fashn", is_synchronous=True)
    context = msgspec.structs.replace(
        running_app.worker_context,
        providers=dict.fromkeys((StageName.GENERATE_MODEL, StageName.SWAP_MODEL), provider),
    )
    await running_app.install()
    async with app_with(replace(running_app, worker_context=context), **WITH_ENGINES) as app:
        headers = app.bearer(SHOP)

        async def made(path: str, body: dict[str, Any]) -> str:
            answer = await app.http.post(path, json=body, headers=headers)
            assert answer.status_code == 202, answer.text
            await app.drain()
            return str(answer.json()["job_id"])

        async def read(path: str) -> Any:
            answer = await app.http.get(path, headers=headers)
            assert answer.status_code == 200, answer.text
            return answer.json()

        model = await made("/v1/model-generator", {"name": "Ada", "seed": 5})
        [entry] = (await read("/v1/catalog/models"))["entries"]
        assert (entry["public_id"], entry["name"]) == (model, "Ada")
        assert entry["image"]["meta"]["width"] == entry["width"] > 512
        assert entry["thumbnail"]["meta"]["width"] <= 512
        assert entry["image"]["meta"]["generative"] is True

        photo = {"file": (GARMENTS / "tee_navy.jpg").read_bytes()}
        upload = await app.http.post("/v1/uploads", files=photo, headers=headers)
        body = {"upload_key": upload.json()["upload_key"], "model_id": model}
        swap = await made("/v1/model-swap-with-image", body)
        [newest, oldest] = (await read("/v1/renders"))["renders"]
        assert (newest["public_id"], newest["origin"]) == (swap, "edit")
        assert (oldest["public_id"], oldest["origin"]) == (model, "generate")
        assert newest["provenance"]["provider"] == "fashn"

        again = await made(f"/v1/jobs/{model}/rerun", {"parameters": {"seed": 6}})
        found = await read(f"/v1/jobs/{again}/lineage")
        assert [each["public_id"] for each in found["ancestors"]] == [model]
        [generated] = [each for each in found["stages"] if each["stage"] == "generate_model"]
        assert (generated["engine"]["name"], generated["seed"]) == ("fashn", 6)
        assert generated["cost"]["amount_micros"] == 75_000
        assert found["outputs"][0]["generative"] is True
        assert found["outputs"][0]["digital_source_type"]
        assert [request.seed for request in provider.requests][0::2] == [5, 6]
        assert len((await read("/v1/catalog/models"))["entries"]) == 2
