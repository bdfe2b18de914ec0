"""Responses of job detail match the published contract.

The schemas beside this file are written from the tables by hand, not from the code.
"""

import re
from datetime import datetime
from typing import Any

import jsonschema
import pytest

from backend.failures.registry import Failure
from tests.backend.jobs.contract import (
    FORMATS,
    JOB_DETAIL,
    SCHEMA,
    assert_no_storage_names,
    leaves,
)
from tests.running_app import RunningApp
from tests.scenarios import (
    claimed_job,
    deliver,
    failed_job,
    finished_job,
    header,
    make_stage,
    open_shared_app,
    post_webhook,
    refusal,
    stored_picture,
    waiting_job,
    webhook_headers,
    without_database,
)

shared_app = pytest.fixture(open_shared_app, scope="module")

FORMATS.checks("date-time", raises=ValueError)(lambda text: bool(datetime.fromisoformat(text)))
FORMATS.checks("uri")(lambda text: re.fullmatch(r"[!-~]+", text) is not None)


FAILURE = Failure(code="IMAGE_CORRUPT", message="The photo is broken.")


async def detail(running_app: RunningApp, public_id: str) -> dict[str, Any]:
    """The job over HTTP, found to be as the contract has it."""
    response = await running_app.detail(public_id)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    body: dict[str, Any] = response.json()
    JOB_DETAIL.validate(body)
    assert_no_storage_names(running_app, body)
    return body


def test_the_job_schema_is_valid_and_allows_no_extra_fields() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    closed = [SCHEMA, *(SCHEMA["$defs"][name] for name in ("artifact", "event", "failure"))]
    assert all(each["additionalProperties"] is False for each in closed)


async def test_a_real_job_matches_the_contract_while_waiting_and_after_success(
    running_app: RunningApp,
) -> None:
    await running_app.install()
    public_id = await running_app.request_job()
    waiting = await detail(running_app, public_id)
    assert waiting["status"] == "NOT_STARTED"
    assert waiting["latest_event"]["event_type"] == "queued"
    await running_app.drain()
    done = await detail(running_app, public_id)
    assert done["status"] == "SUCCESS"
    assert [item["role"] for item in done["result"]] == ["final", "final"]
    assert done["latest_event"]["seq"] == waiting["latest_event"]["seq"] + 6


async def test_a_running_job_shows_its_latest_stage_and_no_result(
    shared_app: RunningApp,
) -> None:
    job = await claimed_job(shared_app)
    await make_stage(shared_app, job, "validate", pictures=0)
    await make_stage(shared_app, job, "segment", pictures=2)
    body = await detail(shared_app, job.ref.public_id)
    assert body["status"] == "IN_PROGRESS"
    assert body["result"] == []
    event = body["latest_event"]
    assert (event["seq"], event["event_type"], event["stage"]) == (3, "stage", "segment")
    assert [item["role"] for item in event["artifacts"]] == ["intermediate"] * 2


async def test_final_images_are_not_a_result_until_the_job_succeeds(
    shared_app: RunningApp,
) -> None:
    job = await claimed_job(shared_app)
    await make_stage(shared_app, job, "encode", role="final")
    assert (await detail(shared_app, job.ref.public_id))["result"] == []


async def test_a_succeeded_job_lists_its_final_images_in_order(shared_app: RunningApp) -> None:
    ref, keys = await finished_job(shared_app)
    body = await detail(shared_app, ref.public_id)
    assert [item["image_url"].partition("?")[0] for item in body["result"]] == [
        f"{shared_app.settings.s3_endpoint_url}/{shared_app.settings.s3_bucket}/{key}"
        for key in keys[1:]
    ]
    assert (body["latest_event"]["event_type"], body["latest_event"]["seq"]) == ("succeeded", 4)
    assert body["latest_event"]["artifacts"] == []


async def test_a_failed_job_gives_the_reason_and_no_result(shared_app: RunningApp) -> None:
    ref = await failed_job(shared_app, FAILURE)
    body = await detail(shared_app, ref.public_id)
    assert body["status"] == "FAILURE"
    assert body["latest_event"]["message"] == "The photo is broken."
    assert body["latest_event"]["extra"]["error"] == {
        "code": "IMAGE_CORRUPT",
        "message": "The photo is broken.",
        "retryable": False,
    }


async def test_a_storage_key_in_the_request_is_shown_as_a_working_url(
    shared_app: RunningApp,
) -> None:
    owner = await waiting_job(shared_app)
    key = await stored_picture(shared_app, owner, "upload", "source")
    ref = await waiting_job(
        shared_app, request={"source_key": key, "mask_key": None, "margin": 0.1, "tags": ["a"]}
    )
    request = (await detail(shared_app, ref.public_id))["request"]
    url = request.pop("source_image_url")
    assert request == {"mask_image_url": None, "margin": 0.1, "tags": ["a"]}
    assert (await shared_app.http.get(url)).content == await shared_app.worker_context.store.get(
        key
    )


@pytest.mark.parametrize("depth", ["an object", "a list"])
async def test_a_nested_storage_key_is_shown_as_a_url(shared_app: RunningApp, depth: str) -> None:
    key = await stored_picture(shared_app, await waiting_job(shared_app), "upload", depth)
    inner = {"front_key": key}
    look = inner if depth == "an object" else [inner]
    body = await detail(
        shared_app, (await waiting_job(shared_app, request={"look": look})).public_id
    )
    assert [path[-1] for path, _ in leaves(body["request"])] == ["front_image_url"]


async def test_every_error_uses_the_same_envelope(shared_app: RunningApp) -> None:
    body = b'{"id":1}'
    job = f"/v1/jobs/{'0' * 26}"
    encoded = [*webhook_headers(body), header("Content-Encoding", "gzip")]
    answers = [
        await deliver(shared_app, b"[]"),
        await shared_app.http.get(job),
        await shared_app.detail("nothing"),
        await shared_app.http.get("/no/such/page"),
        await shared_app.http.delete(job, headers=shared_app.bearer()),
        await deliver(shared_app, b'{"a":"%s"}' % (b"x" * 5_000_000)),
        await post_webhook(shared_app, body, encoded),
    ]
    assert [refusal(answer) for answer in answers] == [
        (400, "BAD_REQUEST"),
        (401, "UNAUTHENTICATED"),
        (404, "JOB_NOT_FOUND"),
        (404, "NOT_FOUND"),
        (405, "METHOD_NOT_ALLOWED"),
        (413, "BODY_TOO_LARGE"),
        (415, "UNSUPPORTED_MEDIA_TYPE"),
    ]


async def test_job_detail_answers_503_without_the_database(
    shared_app: RunningApp,
) -> None:
    async with without_database(shared_app) as client:
        response = await client.get(f"/v1/jobs/{'0' * 26}", headers=shared_app.bearer())
    assert refusal(response) == (503, "DATABASE_UNAVAILABLE")
    assert int(response.headers["retry-after"]) > 0
