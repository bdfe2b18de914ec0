"""The stand-in provider's faults, and that each occurs once, where it was ordered."""

import asyncio

import httpx
import pytest

from tests.wait import wait_until

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("name", "status", "error"),
    [
        ("rate_limited", 429, "RateLimitExceeded"),
        ("concurrency_limited", 429, "ConcurrencyLimitExceeded"),
        ("out_of_credits", 429, "OutOfCredits"),
        ("server_error", 500, "InternalServerError"),
    ],
)
async def test_fashn_refuses_once(account, name, status, error):
    account.provider.order_fault(name, seconds=3)
    answer = await account.run()
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert answer.headers.get("Retry-After") == ("3" if "limited" in name else None)
    assert account.provider.predictions == []
    assert (await account.run()).status_code == 200


@pytest.mark.parametrize(
    ("name", "status"),
    [("rate_limited", 429), ("out_of_credits", 403), ("server_error", 500)],
)
async def test_fal_refuses_once(account, name, status):
    account.provider.order_fault(name)
    assert (await account.submit()).status_code == status
    assert (await account.submit()).status_code == 200


@pytest.mark.parametrize("door", ["run", "submit"])
async def test_a_request_whose_answer_is_lost_was_accepted(account, door):
    account.provider.order_fault("answer_lost")
    with pytest.raises(httpx.RemoteProtocolError):
        await getattr(account, door)()
    assert (await account.ended()).status == "done"


async def test_a_request_that_hangs_was_not_accepted(account):
    account.provider.order_fault("hang", seconds=0.1)
    assert (await account.run()).status_code == 504
    assert account.provider.predictions == []


async def test_a_status_can_fail(account):
    prediction_id = (await account.run()).json()["id"]
    account.provider.order_fault("status_error")
    assert (await account.status(prediction_id)).status_code == 500
    assert (await account.status(prediction_id)).status_code == 200


@pytest.mark.parametrize(
    ("name", "fashn", "fal"),
    [
        ("moderation", "ContentModerationError", (422, "content_policy_violation")),
        ("pose_not_found", "PoseError", (422, "body_pose_not_detected")),
        ("failed", "PipelineError", (500, "internal_server_error")),
    ],
)
async def test_the_work_fails_in_each_providers_words(account, name, fashn, fal):
    account.provider.order_fault(name, times=2)
    prediction_id = (await account.run()).json()["id"]
    urls = (await account.submit()).json()
    await wait_until(lambda: all(each.has_ended for each in account.provider.predictions))
    assert (await account.status(prediction_id)).json()["error"]["name"] == fashn
    result = await account.get(urls["response_url"])
    assert (result.status_code, result.json()["detail"][0]["type"]) == fal


async def test_one_that_never_finishes_leaves_its_runner_to_others(account):
    account.provider.order_fault("never_finishes", times=20)
    for _ in range(20):
        await account.submit()
    await account.submit()
    await wait_until(lambda: account.provider.predictions[-1].has_ended)
    first = account.provider.predictions[0]
    assert (first.status, first.has_ended) == ("running", False)


async def test_a_slow_one_takes_longer(account):
    account.provider.order_fault("slow", seconds=0.2)
    await account.submit()
    started = asyncio.get_running_loop().time()
    await account.ended()
    assert asyncio.get_running_loop().time() - started >= 0.19


async def test_a_callback_can_come_twice_or_not_at_all(account, around):
    account.provider.order_fault("callback_lost")
    account.provider.order_fault("callback_twice")
    await account.submit()
    lost = await account.ended()
    await account.submit()
    await wait_until(lambda: len(around.received) == 2)
    assert lost.id.encode() not in around.received[0].read()
    assert around.received[0].read() == around.received[1].read()


async def test_a_late_callback_comes_after_the_end(account, around):
    account.provider.order_fault("callback_late", seconds=0.2)
    await account.submit()
    await account.ended()
    assert around.received == []
    await wait_until(lambda: around.received)


async def test_a_forged_callback_comes_before_the_true_one(account, around):
    account.provider.hold()
    account.provider.order_fault("callback_forged", times=2)
    await account.submit()
    await wait_until(lambda: around.received)
    assert not await account.is_signed(around.received[0])
    await account.run()
    await wait_until(lambda: len(around.received) == 2)
    assert b"https://forged.example/" in around.received[1].read()
    account.provider.release()
    await wait_until(lambda: len(around.received) == 4)


async def test_an_early_callback_comes_before_the_answer(account, around):
    account.provider.order_fault("callback_early")
    submitted = await account.submit()
    assert submitted.json()["request_id"].encode() in around.received[0].read()


@pytest.mark.parametrize(
    ("name", "status", "is_picture"), [("wrong_bytes", 200, False), ("expired_output", 403, False)]
)
async def test_an_output_can_be_of_no_use(account, name, status, is_picture):
    account.provider.order_fault(name)
    prediction_id = (await account.run()).json()["id"]
    await account.ended()
    (url,) = (await account.status(prediction_id)).json()["output"]
    output = await account.http.get(url)
    assert output.status_code == status
    assert output.content.startswith(b"\x89PNG") is is_picture


async def test_an_output_expires_when_fal_was_told(account, around):
    account.fal |= {"X-Fal-Object-Lifecycle-Preference": '{"expiration_duration_seconds": 60}'}
    urls = (await account.submit()).json()
    await account.ended()
    (image,) = (await account.get(urls["response_url"])).json()["images"]
    assert (await account.http.get(image["url"])).status_code == 200
    around.now += 61
    assert (await account.http.get(image["url"])).status_code == 403


async def test_faults_are_ordered_over_http(account):
    wrong = await account.http.post("/stand-in/faults", json={"name": "flood"})
    assert wrong.status_code == 400
    right = await account.http.post("/stand-in/faults", json={"name": "moderation"})
    assert right.status_code == 200
    await account.http.post("/stand-in/hold")
    await account.run()
    await account.http.post("/stand-in/release")
    assert (await account.ended()).status == "failed"
    listed = (await account.http.get("/stand-in/requests")).json()["requests"]
    assert [each["status"] for each in listed] == ["failed"]
