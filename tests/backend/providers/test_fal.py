"""fal's adapter speaks the queue that fal documents, and follows none of its URLs elsewhere."""

import dataclasses
import time
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest

from backend.providers.account import ProviderAccount
from backend.providers.fal import FalProvider
from backend.providers.fal_models import FAL_DEFAULTS
from backend.providers.provider import (
    AnswerLost,
    OutputImage,
    ProviderCost,
    ProviderFailed,
    ProviderJob,
    ProviderLimits,
    ProviderUnavailable,
    RequestUnknown,
    Running,
    SubmitRequest,
)
from backend.workflows.prompts import prompt_of
from backend.workflows.stages import StageName
from tests.backend.providers.provider_server import Answer, recorded, undated

SHAPES = recorded("fal")
ID = SHAPES["accepted"]["request_id"]
SINCE = datetime(2026, 11, 29, 12, tzinfo=UTC)


@pytest.fixture
async def fal(server):
    account = ProviderAccount(
        key="the-key",
        base_url=server.origin,
        models=dict(FAL_DEFAULTS),
        limits=ProviderLimits(concurrent=20),
        prices={StageName.TRY_ON: 75_000},
    )
    provider = FalProvider(
        account, platform_url=f"{server.origin}/v1", jwks_url=f"{server.origin}/jwks.json"
    )
    yield provider
    await provider.close()


@pytest.fixture
def job(server) -> ProviderJob:
    url = f"{server.origin}/fal-ai/fashn/requests/{ID}"
    return ProviderJob(
        id=ID,
        handles={
            "endpoint": "fal-ai/fashn/tryon/v1.6",
            "stage": "try_on",
            "seed": "7",
            "status_url": f"{url}/status",
            "response_url": url,
            "cancel_url": f"{url}/cancel",
        },
    )


@pytest.fixture
def try_on(asked_for):
    request = asked_for(StageName.TRY_ON, "product", "person", category="top")
    return msgspec.structs.replace(request, seed=7, model=FAL_DEFAULTS[StageName.TRY_ON])


def accepted(server, **changes) -> Answer:
    own = (
        msgspec.json.encode(SHAPES["accepted"])
        .decode()
        .replace("https://queue.fal.run", server.origin)
    )
    return Answer(msgspec.json.decode(own) | changes)


async def test_a_request_is_sent_as_fal_documents_it(server, fal, try_on, job) -> None:
    server.answers.append(accepted(server))
    url = "https://app.example/callbacks/fal/token"
    submitted = await fal.submit(msgspec.structs.replace(try_on, callback_url=url))
    assert undated(submitted) == job
    [asked] = server.asked
    assert (asked.method, urlsplit(asked.target).path) == ("POST", "/fal-ai/fashn/tryon/v1.6")
    assert parse_qs(urlsplit(asked.target).query) == {"fal_webhook": [url]}
    assert asked.headers["authorization"] == "Key the-key"
    lifetime = asked.headers["x-fal-object-lifecycle-preference"]
    assert msgspec.json.decode(lifetime) == {"expiration_duration_seconds": 3600}
    assert asked.json == {
        "garment_image": "https://bucket.example/product.png?sig=s#ref-1",
        "model_image": "https://bucket.example/person.png?sig=s#ref-1",
        "category": "tops",
        "seed": 7,
        "output_format": "png",
    }


@pytest.mark.parametrize(
    ("stage", "names", "params"),
    [
        ("look", ["garment_3", "person", "product", "garment_2"], {}),
        ("change_background", ["background", "dressed"], {}),
        ("generate_background", [], {"aspect_ratio": "16:9"}),
    ],
)
async def test_other_endpoints_get_a_prompt_and_pictures_in_its_order(
    server, fal, asked_for, stage, names, params
) -> None:
    server.answers.append(accepted(server))
    request = asked_for(StageName(stage), *names, **params)
    await fal.submit(request)
    sent = server.asked[0].json
    assert server.asked[0].target == f"/{FAL_DEFAULTS[StageName(stage)]}"
    assert sent["prompt"] == prompt_of(StageName(stage), params, names)
    order = {
        "look": ["product", "garment_2", "garment_3", "person"],
        "change_background": ["dressed", "background"],
        "generate_background": [],
    }[stage]
    urls = [f"{request.inputs[name].url}#ref-1" for name in order]
    assert sent.get("image_urls", []) == urls
    assert sent.get("aspect_ratio") == params.get("aspect_ratio")


async def test_a_url_of_another_host_is_not_followed(server, fal, try_on, job) -> None:
    server.answers.append(accepted(server, status_url="https://evil.example/status"))
    submitted = await fal.submit(try_on)
    assert undated(submitted) == job
    elsewhere = msgspec.structs.replace(
        job, handles=job.handles | {"status_url": "http://127.0.0.1:1/status"}
    )
    with pytest.raises(ProviderUnavailable, match="is not"):
        await fal.poll(elsewhere)


async def test_a_request_is_waited_for_and_collected_with_its_cost(server, fal, job) -> None:
    server.answers += [
        Answer(SHAPES["in_queue"], 202),
        Answer(SHAPES["in_progress"], 202),
        Answer(SHAPES["completed"]),
        Answer(SHAPES["result"], headers={"x-fal-billable-units": "1.0"}),
    ]
    assert await fal.poll(job) == Running(position=2)
    assert await fal.poll(job) == Running()
    finished = await fal.poll(job)
    assert finished.images == (OutputImage(url=SHAPES["result"]["images"][0]["url"]),)
    assert (finished.model, finished.seed) == ("fal-ai/fashn/tryon/v1.6", 7)
    assert finished.cost == ProviderCost(
        units=1.0, unit="billable units", amount_micros=75_000, source="answer"
    )
    assert [urlsplit(each.target).path.rsplit("/", 1)[1] for each in server.asked] == [
        *["status"] * 3,
        ID,
    ]


async def test_a_result_with_one_image_is_read_too(server, fal, job) -> None:
    server.answers += [Answer(SHAPES["completed"]), Answer(SHAPES["single_result"])]
    finished = await fal.poll(job)
    assert (len(finished.images), finished.seed) == (1, 7)
    assert finished.cost == ProviderCost(unit="billable units")


def detail(kind: str) -> dict[str, object]:
    return {"detail": [{"loc": ["body"], "msg": "why", "type": kind}]}


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (422, SHAPES["refused"], "CONTENT_REFUSED"),
        (422, detail("body_pose_not_detected"), "POSE_NOT_FOUND"),
        (422, detail("image_load_error"), "PROVIDER_INPUT_REFUSED"),
        (422, detail("no_media_generated"), "PROVIDER_FAILED"),
        (500, detail("internal_server_error"), "PROVIDER_FAILED"),
        (504, detail("generation_timeout"), "PROVIDER_TIMEOUT"),
    ],
)
async def test_each_error_of_a_model_has_its_code(server, fal, job, status, body, code) -> None:
    server.answers += [
        Answer(SHAPES["completed"]),
        Answer(body, status, {"x-fal-billable-units": "1"}),
    ]
    with pytest.raises(ProviderFailed) as caught:
        await fal.poll(job)
    assert caught.value.code == code
    assert caught.value.cost.amount_micros == 75_000


async def test_an_error_of_the_platform_is_final_once_the_request_has_ended(
    server, fal, job
) -> None:
    server.answers += [
        Answer(SHAPES["completed_with_error"]),
        Answer({"detail": "Request timed out", "error_type": "request_timeout"}, 504),
    ]
    with pytest.raises(ProviderFailed) as caught:
        await fal.poll(job)
    assert caught.value.code == "PROVIDER_TIMEOUT"


@pytest.mark.parametrize(
    "answers",
    [
        [Answer(b"<html>", 502)],
        [Answer({"detail": "Cannot access application"}, 403)],
        [Answer({"detail": "busy"}, 429)],
        [Answer(way="none")],
        [Answer(SHAPES["completed"]), Answer(b"<html>", 502)],
        [Answer(SHAPES["completed"]), Answer({"detail": "Bad gateway"}, 502)],
    ],
    ids=["502", "403", "429", "closed", "result 502", "result 502 in JSON"],
)
async def test_an_outage_loses_no_result(server, fal, job, answers) -> None:
    server.answers += [dataclasses.replace(each) for each in answers]
    with pytest.raises(ProviderUnavailable):
        await fal.poll(job)


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (401, {"detail": "No user found for Key ID and Secret"}, "PROVIDER_MISCONFIGURED"),
        (403, {"detail": "Cannot access application"}, "PROVIDER_MISCONFIGURED"),
        (404, {"detail": "Application not found"}, "PROVIDER_MISCONFIGURED"),
        (422, SHAPES["refused"], "CONTENT_REFUSED"),
        (422, detail("value_error"), "PROVIDER_INPUT_REFUSED"),
    ],
)
async def test_a_refused_submission_is_final(server, fal, try_on, status, body, code) -> None:
    server.answers.append(Answer(body, status))
    with pytest.raises(ProviderFailed) as caught:
        await fal.submit(try_on)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("status", "body", "wait"),
    [(403, SHAPES["locked"], 600.0), (429, {"detail": "Too many requests"}, 3.0)],
)
async def test_a_locked_account_and_limits_are_waited_out(
    server, fal, try_on, status, body, wait
) -> None:
    server.answers.append(Answer(body, status, {"Retry-After": "3"}))
    with pytest.raises(ProviderUnavailable) as caught:
        await fal.submit(try_on)
    assert caught.value.retry_after == wait


async def test_an_unknown_request_is_final_only_once_it_is_not_new(server, fal, job) -> None:
    """A status may lag behind; taken for the end, the request would be paid twice."""
    server.answers.append(Answer({"detail": "not found"}, 404))
    for age, error in ((5, ProviderUnavailable), (120, ProviderFailed)):
        accepted_at = str(int(time.time()) - age)
        aged = msgspec.structs.replace(job, handles=job.handles | {"accepted_at": accepted_at})
        with pytest.raises(error):
            await fal.poll(aged)


@pytest.mark.parametrize(
    "answer",
    [Answer(way="none"), Answer({"detail": "x"}, 500), Answer({}, 200), Answer(b"<html>")],
    ids=["closed", "500", "no id", "page"],
)
async def test_an_answer_that_is_lost_may_have_been_accepted(server, fal, try_on, answer) -> None:
    server.answers.append(dataclasses.replace(answer))
    with pytest.raises(AnswerLost):
        await fal.submit(try_on)


@pytest.mark.parametrize(
    ("status", "body", "stops"),
    [
        (202, {"status": "CANCELLATION_REQUESTED"}, True),
        (400, {"status": "ALREADY_COMPLETED"}, False),
        (404, {"status": "NOT_FOUND"}, False),
    ],
)
async def test_a_request_is_cancelled_unless_it_has_ended(
    server, fal, job, status, body, stops
) -> None:
    server.answers.append(Answer(body, status))
    assert await fal.cancel(job) is stops
    assert (server.asked[0].method, server.asked[0].target.endswith("/cancel")) == ("PUT", True)


def listed(inputs: dict[str, object] | None, **changes) -> dict[str, object]:
    payload = {} if inputs is None else {"json_input": inputs}
    return {**SHAPES["listed"], **payload, **changes}


def page(*items: dict[str, object], cursor: str | None = None) -> Answer:
    return Answer({"items": [*items], "next_cursor": cursor, "has_more": cursor is not None})


def known_later(request: SubmitRequest) -> SubmitRequest:
    """What is left of a request once its process has ended."""
    return msgspec.structs.replace(request, inputs={}, params={}, callback_url=None)


async def test_a_lost_request_is_found_by_its_reference(server, fal, try_on, job) -> None:
    server.answers.append(Answer(way="none"))
    with pytest.raises(AnswerLost):
        await fal.submit(try_on)
    sent = server.asked.pop().json
    other = {
        name: value.replace("ref-1", "ref-2") if isinstance(value, str) else value
        for name, value in sent.items()
    }
    server.answers.clear()
    server.answers += [
        page(
            listed(other, request_id="of-another-job"),
            listed(None, request_id="without-a-payload"),
            listed(sent, request_id="too-old", sent_at="2026-11-29T11:00:00Z"),
            cursor="2",
        ),
        page(listed(sent | {"mode": "balanced"})),
    ]
    assert undated(await fal.find(known_later(try_on), SINCE)) == job
    queries = [parse_qs(urlsplit(each.target).query) for each in server.asked]
    assert queries[0] == {
        "endpoint_id": ["fal-ai/fashn/tryon/v1.6"],
        "start": ["2026-11-29T11:59:00Z"],
        "end": ["2026-11-29T13:06:00Z"],
        "expand": ["payloads"],
        "limit": ["50"],
    }
    assert queries[1]["cursor"] == ["2"]


async def test_a_lost_request_without_pictures_is_found_by_its_seed(server, fal, asked_for) -> None:
    request = msgspec.structs.replace(
        asked_for(StageName.GENERATE_BACKGROUND), model="fal-ai/nano-banana-2"
    )
    server.answers.append(
        page(
            listed({"prompt": "p", "seed": 1}, request_id="another"),
            listed({"prompt": "q", "seed": request.seed}, request_id="known"),
            listed(
                {"seed": request.seed, "image_urls": ["https://b.example/a.png#ref-2"]},
                request_id="with-pictures",
            ),
            listed({"prompt": "p", "seed": request.seed}),
        )
    )
    found = await fal.find(request, SINCE, {"known"})
    assert found.id == ID
    assert found.handles["status_url"] == (
        f"{server.origin}/fal-ai/nano-banana-2/requests/{ID}/status"
    )


async def test_a_lost_request_is_looked_for_where_it_was_sent(server, fal, try_on) -> None:
    """`FAL_MODELS` may name another endpoint by then."""
    sent = msgspec.structs.replace(known_later(try_on), model="fal-ai/older/try-on")
    server.answers.append(page(listed({"seed": 7})))
    found = undated(await fal.find(sent, SINCE))
    assert parse_qs(urlsplit(server.asked[0].target).query)["endpoint_id"] == [sent.model]
    assert found.handles["endpoint"] == sent.model
    assert found.handles["status_url"] == f"{server.origin}/fal-ai/older/requests/{ID}/status"


async def test_a_request_that_is_not_listed_may_still_be_accepted(server, fal, try_on) -> None:
    """It is not known to be lost before it would have ended, for then it would be paid twice."""
    server.answers.append(page())
    now = datetime.now(UTC)
    with pytest.raises(ProviderUnavailable, match="not be listed yet"):
        await fal.find(try_on, now - timedelta(minutes=9))
    assert await fal.find(try_on, now - timedelta(minutes=11)) is None


async def test_the_list_is_read_to_its_end_while_a_request_may_come_to_be_listed(
    server, fal, try_on
) -> None:
    server.answers.append(page(listed({"seed": try_on.seed})))
    await fal.find(known_later(try_on), datetime.now(UTC) - timedelta(minutes=20))
    query = parse_qs(urlsplit(server.asked[0].target).query)
    assert ("start" in query, "end" in query) == (True, False)


async def test_a_request_may_wait_only_so_long_for_its_start(server, fal, try_on) -> None:
    server.answers.append(accepted(server))
    await fal.submit(try_on)
    assert server.asked[0].headers["x-fal-request-timeout"] == "300"


async def test_a_request_known_by_its_id_alone_cannot_be_asked_about(fal) -> None:
    with pytest.raises(RequestUnknown):
        await fal.poll(ProviderJob(id=ID))


@pytest.mark.parametrize(
    "answer",
    [Answer({"detail": "x"}, 403), Answer(b"<html>"), page(cursor="1")],
    ids=["no permission", "page", "endless"],
)
async def test_a_list_that_cannot_be_read_is_no_answer(server, fal, try_on, answer) -> None:
    """Otherwise the request would be sent and paid again."""
    server.answers.append(answer)
    with pytest.raises(ProviderUnavailable):
        await fal.find(try_on, SINCE)
    assert len(server.asked) <= 10
