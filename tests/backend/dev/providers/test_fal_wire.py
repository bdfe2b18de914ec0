"""What the stand-in takes and refuses as fal, by fal's documentation."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.backend.dev.providers.conftest import GARMENT_URL, TRY_ON
from tests.wait import wait_until

pytestmark = pytest.mark.slow
BY_ENDPOINT = "/v1/models/requests/by-endpoint"
ENDPOINT = "fal-ai/fashn/tryon/v1.6"


async def test_a_request_is_queued_worked_on_and_delivered(account):
    account.provider.hold()
    submitted = (await account.submit()).json()
    assert submitted["status"] == "IN_QUEUE"
    assert "/fal-ai/fashn/requests/" in submitted["status_url"], "the path is not part of it"
    second = (await account.submit()).json()
    waiting = await account.get(second["status_url"])
    assert (waiting.status_code, waiting.json()["queue_position"]) == (202, 1)
    early = await account.get(submitted["response_url"])
    assert (early.status_code, early.json()) == (400, {"detail": "Request is still in progress"})
    account.provider.release()
    await wait_until(lambda: all(each.has_ended for each in account.provider.predictions))
    done = await account.get(submitted["status_url"])
    assert (done.status_code, done.json()["status"]) == (200, "COMPLETED")
    result = await account.get(submitted["response_url"])
    assert result.headers["x-fal-billable-units"] == "1"
    (image,) = result.json()["images"]
    picture = await account.http.get(image["url"])
    assert (len(picture.content), image["width"]) == (image["file_size"], 864)


async def test_the_callback_is_signed_and_repeated_until_it_is_answered(account, around):
    around.statuses.extend([500, 503])
    await account.submit()
    prediction = await account.ended()
    await wait_until(lambda: len(around.received) == 3)
    assert prediction.callback_statuses == [500, 503, 200]
    assert [await account.is_signed(request) for request in around.received] == [True] * 3
    assert b'"status":"OK"' in around.received[-1].read()


@pytest.mark.parametrize(
    ("inputs", "loc"),
    [
        ({"model_image": GARMENT_URL}, ["body"]),
        ({**TRY_ON, "prompt": "nice"}, ["body"]),
        ({**TRY_ON, "category": "hats"}, ["body", "category"]),
        ({**TRY_ON, "garment_image": "ftp://x"}, ["body", "garment_image"]),
    ],
)
async def test_the_model_refuses_inputs_when_it_is_their_turn(account, inputs, loc):
    submitted = await account.submit(**inputs)
    assert submitted.status_code == 200
    await account.ended()
    status = await account.get(submitted.json()["status_url"])
    assert status.json()["status"] == "COMPLETED" and status.json()["error_type"]
    result = await account.get(submitted.json()["response_url"])
    assert (result.status_code, result.headers["X-Fal-Retryable"]) == (422, "false")
    assert [detail["loc"] for detail in result.json()["detail"]] == [loc]


async def test_what_the_queue_itself_does_not_know_is_refused(account):
    unknown = await account.submit("fal-ai/nothing")
    assert (unknown.status_code, "not found" in unknown.json()["detail"]) == (404, True)
    assert (
        await account.http.post(f"/{ENDPOINT}", content=b"[]", headers=account.fal)
    ).status_code == 400
    account.provider.state.fal_is_locked = True
    locked = await account.submit()
    assert (locked.status_code, "Exhausted balance" in locked.json()["detail"]) == (403, True)
    account.fal = account.fashn
    assert (await account.submit()).status_code == 401
    assert account.provider.predictions == []


async def test_a_request_can_be_cancelled_until_it_has_ended(account):
    account.provider.hold()
    submitted = (await account.submit()).json()
    cancelled = await account.http.put(submitted["cancel_url"], headers=account.fal)
    assert (cancelled.status_code, cancelled.json()) == (202, {"status": "CANCELLATION_REQUESTED"})
    result = await account.get(submitted["response_url"])
    assert (result.status_code, result.json()["error_type"]) == (499, "client_cancelled")
    again = await account.http.put(submitted["cancel_url"], headers=account.fal)
    assert (again.status_code, again.json()) == (400, {"status": "ALREADY_COMPLETED"})
    unknown = submitted["cancel_url"].replace(submitted["request_id"], "0")
    gone = await account.http.put(unknown, headers=account.fal)
    assert (gone.status_code, gone.json()) == (404, {"status": "NOT_FOUND"})
    assert account.provider.predictions[0].units == 0


async def test_a_request_that_waits_longer_than_it_may_is_not_started(account, around):
    account.fal |= {"X-Fal-Request-Timeout": "600"}
    account.provider.hold()
    submitted = (await account.submit()).json()
    around.now += 601
    account.provider.release()
    assert (await account.ended()).units == 0
    result = await account.get(submitted["response_url"])
    assert (result.status_code, result.json()["error_type"]) == (504, "request_timeout")


async def test_the_list_of_requests_finds_one_by_its_inputs(account, around):
    account.provider.hold()
    await account.submit(**TRY_ON, seed=7)
    since = datetime.fromtimestamp(around.now, UTC) - timedelta(seconds=1)
    asked = {"endpoint_id": ENDPOINT, "start": since.isoformat(), "expand": "payloads"}

    async def listed(**more: str) -> list[dict[str, object]]:
        answer = await account.http.get(BY_ENDPOINT, params={**asked, **more}, headers=account.fal)
        return list(answer.json()["items"])

    assert await listed() == [], "fal may list only what has ended"
    account.provider.state.fal_lists_unfinished = True
    (item,) = await listed()
    assert item["request_id"] == account.provider.predictions[0].id
    assert item["json_input"] == {**TRY_ON, "seed": 7}
    assert await listed(start=(since + timedelta(minutes=1)).isoformat()) == []
    assert await listed(endpoint_id="fal-ai/flux/dev") == []
    assert "json_input" not in (await listed(expand=""))[0]


async def test_as_many_requests_wait_as_are_sent(account):
    account.provider.hold()
    for _ in range(300):
        submitted = await account.submit()
    assert submitted.json()["queue_position"] == 299
