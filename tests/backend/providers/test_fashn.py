"""FASHN's adapter speaks the wire that FASHN documents, and knows what each failure means."""

import dataclasses
import time
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest

from backend.providers.account import ProviderAccount
from backend.providers.fashn import FashnProvider
from backend.providers.fashn_models import FASHN_DEFAULTS
from backend.providers.provider import (
    AnswerLost,
    CallbackRefused,
    OutputImage,
    ProviderCost,
    ProviderFailed,
    ProviderJob,
    ProviderLimits,
    ProviderUnavailable,
    Running,
)
from backend.workflows.prompts import prompt_of
from backend.workflows.stages import StageName
from tests.backend.providers.conftest import PNG
from tests.backend.providers.provider_server import Answer, recorded, undated

SHAPES = recorded("fashn")
ID = SHAPES["accepted"]["id"]
JOB = ProviderJob(id=ID, handles={"model": "tryon-v1.6", "stage": "try_on", "seed": "7"})


def account(server, **changes) -> ProviderAccount:
    return msgspec.structs.replace(
        ProviderAccount(
            key="the-key",
            base_url=f"{server.origin}/v1",
            models=dict(FASHN_DEFAULTS),
            limits=ProviderLimits(concurrent=6),
            prices=dict.fromkeys(FASHN_DEFAULTS, 75_000),
        ),
        **changes,
    )


@pytest.fixture
async def fashn(server):
    provider = FashnProvider(account(server))
    yield provider
    await provider.close()


@pytest.fixture
def try_on(asked_for):
    return asked_for(StageName.TRY_ON, "product", "person", category="dress")


async def test_a_request_is_sent_as_fashn_documents_it(server, fashn, try_on) -> None:
    server.answers.append(Answer(SHAPES["accepted"]))
    url = "https://app.example/callbacks/fashn/token"
    job = await fashn.submit(msgspec.structs.replace(try_on, callback_url=url))
    [asked] = server.asked
    assert (asked.method, urlsplit(asked.target).path) == ("POST", "/v1/run")
    assert parse_qs(urlsplit(asked.target).query) == {"webhook_url": [url]}
    assert asked.headers["authorization"] == "Bearer the-key"
    assert asked.json == {
        "model_name": "tryon-v1.6",
        "inputs": {
            "garment_image": "https://bucket.example/product.png?sig=s",
            "model_image": "https://bucket.example/person.png?sig=s",
            "category": "one-pieces",
            "seed": 7,
        },
    }
    assert undated(job) == JOB


@pytest.mark.parametrize(
    ("stage", "names", "params", "sent"),
    [
        (
            "dress",
            ["cutout"],
            {"category": "top", "body": "male", "background": "#f4f4f2"},
            {"model_name": "product-to-model", "product_image": "cutout", "aspect_ratio": "4:5"},
        ),
        (
            "swap_model",
            ["product", "person"],
            {},
            {"model_name": "model-swap", "model_image": "product", "face_reference": "person"},
        ),
        ("extract", ["product"], {}, {"model_name": "packshot", "product_image": "product"}),
        (
            "generate_model",
            [],
            {"person": {"aspect_ratio": "2:3", "body": "female"}},
            {"model_name": "model-create", "aspect_ratio": "2:3"},
        ),
        (
            "change_background",
            ["dressed", "background"],
            {},
            {"model_name": "edit", "image": "dressed", "image_context": "background"},
        ),
    ],
)
async def test_each_stage_is_made_by_its_model(
    server, fashn, asked_for, stage, names, params, sent
) -> None:
    server.answers.append(Answer(SHAPES["accepted"]))
    request = asked_for(StageName(stage), *names, **params)
    await fashn.submit(request)
    asked = server.asked[0].json
    inputs = asked.pop("inputs") | asked
    if stage != "swap_model":
        assert inputs.pop("prompt") == prompt_of(StageName(stage), params, names)
    assert inputs.pop("seed") == 7
    urls = {each.url: name for name, each in request.inputs.items()}
    assert {field: urls.get(value, value) for field, value in inputs.items()} == sent
    assert "webhook_url" not in server.asked[0].target


async def test_nothing_is_tried_on_without_a_person(server, fashn, asked_for) -> None:
    with pytest.raises(ProviderFailed, match="no photo of a person"):
        await fashn.submit(asked_for(StageName.TRY_ON, "product"))
    assert server.asked == []


async def test_pictures_can_go_out_inline(server, try_on) -> None:
    server.answers.append(Answer(SHAPES["accepted"]))
    provider = FashnProvider(account(server, sends_inline=True))
    await provider.submit(try_on)
    await provider.close()
    assert server.asked[0].json["inputs"]["model_image"].startswith("data:image/png;base64,iVBOR")


async def test_a_prediction_is_waited_for_and_collected_with_its_cost(server, fashn) -> None:
    server.answers += [
        Answer(SHAPES["processing"]),
        Answer(SHAPES["completed"], headers={"x-fashn-credits-used": "1"}),
    ]
    assert await fashn.poll(JOB) == Running()
    finished = await fashn.poll(JOB)
    assert server.asked[0].target == f"/v1/status/{ID}"
    assert finished.images == (OutputImage(url=SHAPES["completed"]["output"][0]),)
    assert (finished.model, finished.seed) == ("tryon-v1.6", 7)
    cost = ProviderCost(units=1.0, unit="credits", amount_micros=75_000, source="answer")
    assert finished.cost == cost


async def test_a_prediction_known_by_its_id_alone_is_collected_too(server, fashn) -> None:
    """As after a callback that came before the answer."""
    server.answers.append(Answer(SHAPES["completed"], headers={"x-fashn-credits-used": "4"}))
    finished = await fashn.poll(ProviderJob(id=ID))
    assert (finished.model, finished.seed) == ("unknown", None)
    assert finished.cost.amount_micros == 300_000


async def test_an_unknown_cost_is_not_invented(server, fashn) -> None:
    server.answers.append(Answer(SHAPES["completed"], headers={"x-fashn-credits-used": "some"}))
    assert (await fashn.poll(JOB)).cost == ProviderCost(unit="credits")


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("ContentModerationError", "CONTENT_REFUSED"),
        ("PoseError", "POSE_NOT_FOUND"),
        ("ImageLoadError", "PROVIDER_INPUT_REFUSED"),
        ("InputValidationError", "PROVIDER_INPUT_REFUSED"),
        ("ThirdPartyError", "PROVIDER_INPUT_REFUSED"),
        ("3rdPartyProviderError", "PROVIDER_FAILED"),
        ("PipelineError", "PROVIDER_FAILED"),
        ("InternalServerError", "PROVIDER_FAILED"),
        ("PollingTimeout", "PROVIDER_TIMEOUT"),
        ("ErrorOfTomorrow", "PROVIDER_FAILED"),
    ],
)
async def test_each_runtime_error_has_its_code(server, fashn, name, code) -> None:
    failed = SHAPES["failed"] | {"error": {"name": name, "message": "why"}}
    server.answers.append(Answer(failed, headers={"x-fashn-credits-used": "0"}))
    with pytest.raises(ProviderFailed) as caught:
        await fashn.poll(JOB)
    assert (caught.value.code, caught.value.provider_code) == (code, name)
    assert caught.value.cost.units == 0


@pytest.mark.parametrize(
    ("status", "code"), [("canceled", "PROVIDER_FAILED"), ("time_out", "PROVIDER_TIMEOUT")]
)
async def test_an_end_without_a_result_is_final(server, fashn, status, code) -> None:
    server.answers.append(Answer({"id": ID, "status": status}))
    with pytest.raises(ProviderFailed) as caught:
        await fashn.poll(JOB)
    assert caught.value.code == code


async def test_the_reason_shows_no_url_of_ours(server, fashn) -> None:
    reason = "cannot load https://bucket.example/a.png?X-Amz-Signature=abc\nat all" + "." * 500
    failed = SHAPES["failed"] | {"error": {"name": "ImageLoadError", "message": reason}}
    server.answers.append(Answer(failed))
    with pytest.raises(ProviderFailed) as caught:
        await fashn.poll(JOB)
    message = caught.value.failure.message
    assert "cannot load (…) at all" in message
    assert "Amz" not in message
    assert len(message) < 260


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [
        (400, "BadRequest", "PROVIDER_INPUT_REFUSED"),
        (401, "UnauthorizedAccess", "PROVIDER_MISCONFIGURED"),
        (404, "NotFound", "PROVIDER_MISCONFIGURED"),
        (308, "", "PROVIDER_MISCONFIGURED"),
    ],
)
async def test_a_refused_submission_is_final(server, fashn, try_on, status, error, code) -> None:
    server.answers.append(Answer({"error": error, "message": "why"}, status))
    with pytest.raises(ProviderFailed) as caught:
        await fashn.submit(try_on)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("error", "headers", "wait"),
    [
        ("RateLimitExceeded", {"Retry-After": "7"}, 7.0),
        ("ConcurrencyLimitExceeded", {}, None),
        ("RateLimitExceeded", {"Retry-After": "nan"}, None),
        ("RateLimitExceeded", {"Retry-After": "1e9"}, 3600.0),
        ("OutOfCredits", {}, 600.0),
    ],
)
async def test_limits_and_an_empty_account_are_waited_out(
    server, fashn, try_on, error, headers, wait
) -> None:
    server.answers.append(Answer({"error": error, "message": "why"}, 429, headers))
    with pytest.raises(ProviderUnavailable) as caught:
        await fashn.submit(try_on)
    assert caught.value.retry_after == wait


async def test_an_unknown_request_is_final_only_once_it_is_not_new(server, fashn) -> None:
    """A status may lag behind; taken for the end, the request would be paid twice."""
    server.answers.append(Answer({"detail": "not found"}, 404))
    for age, error in ((5, ProviderUnavailable), (120, ProviderFailed)):
        accepted_at = str(int(time.time()) - age)
        aged = msgspec.structs.replace(JOB, handles=JOB.handles | {"accepted_at": accepted_at})
        with pytest.raises(error):
            await fashn.poll(aged)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(way="none"),
        Answer(SHAPES["accepted"], way="half"),
        Answer({"error": "InternalServerError", "message": "why"}, 500),
        Answer(b"<html>bad gateway</html>", 502),
        Answer(b"<html>welcome</html>", 200),
        Answer({"error": None}, 200),
        Answer(b'"' + b"x" * 1_000_001 + b'"', 200),
        Answer(b"\x1f\x8b", 200, {"Content-Encoding": "gzip"}),
    ],
    ids=["closed", "half", "500", "502", "page", "no id", "too long", "compressed"],
)
async def test_an_answer_that_is_lost_may_have_been_accepted(server, fashn, try_on, answer) -> None:
    server.answers.append(dataclasses.replace(answer))
    with pytest.raises(AnswerLost):
        await fashn.submit(try_on)


async def test_an_answer_that_never_comes_is_lost(server, fashn, try_on, monkeypatch) -> None:
    monkeypatch.setattr(fashn.http.fresh, "timeout", 0.2)
    server.answers.append(Answer(way="hang"))
    with pytest.raises(AnswerLost):
        await fashn.submit(try_on)


async def test_a_request_that_was_not_sent_was_not_accepted(server, try_on) -> None:
    provider = FashnProvider(account(server, base_url="http://127.0.0.1:1/v1"))
    with pytest.raises(ProviderUnavailable, match="cannot be reached"):
        await provider.submit(try_on)
    await provider.close()


async def test_each_submission_has_a_connection_of_its_own(server, fashn, try_on) -> None:
    """A kept connection that the provider has just closed would look like a lost answer."""
    server.answers.append(Answer(SHAPES["accepted"]))
    await fashn.submit(try_on)
    await fashn.submit(try_on)
    assert server.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        Answer(way="none"),
        Answer(b"no", 503),
        Answer({"error": "UnauthorizedAccess"}, 401),
        Answer({"error": "RateLimitExceeded"}, 429),
        Answer(b"<html>", 200),
    ],
    ids=["closed", "503", "401", "429", "page"],
)
async def test_a_question_that_fails_is_asked_again_later(server, fashn, answer) -> None:
    server.answers.append(dataclasses.replace(answer))
    with pytest.raises(ProviderUnavailable):
        await fashn.poll(JOB)


async def test_a_prediction_that_fashn_does_not_know_is_final(server, fashn) -> None:
    server.answers.append(Answer({"error": "NotFound", "message": "why"}, 404))
    with pytest.raises(ProviderFailed) as caught:
        await fashn.poll(JOB)
    assert caught.value.code == "PROVIDER_FAILED"


async def test_a_result_without_a_picture_is_invalid(server, fashn) -> None:
    server.answers.append(Answer(SHAPES["completed"] | {"output": []}))
    with pytest.raises(ProviderFailed) as caught:
        await fashn.poll(JOB)
    assert caught.value.code == "PROVIDER_OUTPUT_INVALID"


async def test_an_output_at_fashns_own_address_is_fetched(server, fashn) -> None:
    server.answers.append(Answer(PNG))
    assert await fashn.fetch(OutputImage(url=f"{server.origin}/output_0.png")) == PNG
    assert "authorization" not in server.asked[0].headers


async def test_a_callback_names_its_prediction(fashn) -> None:
    assert await fashn.callback({}, msgspec.json.encode(SHAPES["completed"])) == ID
    for body in (b"", b"[]", b'{"id": 7}', b"\xff", b"[" * 100_000):
        with pytest.raises(CallbackRefused):
            await fashn.callback({}, body)


async def test_nothing_is_found_or_cancelled(fashn, try_on) -> None:
    assert not fashn.can_find
    assert not await fashn.cancel(JOB)


def test_an_account_does_not_show_its_key(server) -> None:
    assert "the-key" not in repr(account(server))
