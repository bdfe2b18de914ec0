"""Gemini's adapter sends pictures inline and has its result, or its refusal, at once."""

import base64
import dataclasses
from datetime import UTC, datetime

import pytest

from backend.providers.account import ProviderAccount
from backend.providers.gemini import GEMINI_DEFAULTS, GeminiProvider
from backend.providers.provider import (
    AnswerLost,
    CallbackRefused,
    OutputImage,
    ProviderCost,
    ProviderFailed,
    ProviderJob,
    ProviderLimits,
    ProviderUnavailable,
)
from backend.workflows.prompts import prompt_of
from backend.workflows.stages import StageName
from tests.backend.providers.conftest import PNG
from tests.backend.providers.provider_server import Answer, recorded

SHAPES = recorded("gemini")


@pytest.fixture
async def gemini(server):
    account = ProviderAccount(
        key="the-key",
        base_url=f"{server.origin}/v1beta",
        models=dict(GEMINI_DEFAULTS),
        limits=ProviderLimits(concurrent=4),
        prices={StageName.LOOK: 67_000},
    )
    provider = GeminiProvider(account)
    yield provider
    await provider.close()


@pytest.fixture
def look(asked_for):
    return asked_for(StageName.LOOK, "product", "person", "garment_2")


async def test_a_request_is_sent_as_google_documents_it(server, gemini, look) -> None:
    server.answers.append(Answer(SHAPES["generated"]))
    finished = await gemini.submit(look)
    [asked] = server.asked
    assert asked.target == "/v1beta/models/gemini-3.1-flash-image:generateContent"
    assert asked.headers["x-goog-api-key"] == "the-key"
    picture = {"inlineData": {"mimeType": "image/png", "data": base64.b64encode(PNG).decode()}}
    text = prompt_of(StageName.LOOK, {}, [])
    assert asked.json == {
        "contents": [{"role": "user", "parts": [{"text": text}, *[picture] * 3]}],
        "generationConfig": {"responseModalities": ["IMAGE"], "seed": look.seed},
    }
    assert finished.images == (OutputImage(data=PNG),)
    assert finished.model == "gemini-3.1-flash-image"
    assert finished.cost == ProviderCost(
        units=1.0, unit="images", amount_micros=67_000, source="price_list"
    )
    assert await gemini.fetch(finished.images[0]) == PNG


async def test_a_model_is_made_in_the_shape_that_was_asked_for(server, gemini, asked_for) -> None:
    server.answers.append(Answer(SHAPES["generated"]))
    request = asked_for(StageName.GENERATE_MODEL, person={"aspect_ratio": "2:3"})
    finished = await gemini.submit(request)
    config = server.asked[0].json["generationConfig"]
    assert config["imageConfig"] == {"aspectRatio": "2:3"}
    assert finished.cost == ProviderCost(units=1.0, unit="images")


@pytest.mark.parametrize(
    ("body", "code", "reason"),
    [
        (SHAPES["blocked"], "CONTENT_REFUSED", "PROHIBITED_CONTENT"),
        (SHAPES["stopped"], "CONTENT_REFUSED", "IMAGE_SAFETY"),
        ({"candidates": [{"finishReason": "NO_IMAGE"}]}, "PROVIDER_OUTPUT_INVALID", "NO_IMAGE"),
        ({"candidates": []}, "PROVIDER_OUTPUT_INVALID", "no_candidates"),
    ],
)
async def test_an_answer_without_a_picture_says_why(
    server, gemini, look, body, code, reason
) -> None:
    server.answers.append(Answer(body))
    with pytest.raises(ProviderFailed) as caught:
        await gemini.submit(look)
    assert (caught.value.code, caught.value.provider_code) == (code, reason)


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (400, SHAPES["bad_key"], "PROVIDER_MISCONFIGURED"),
        (400, {"error": {"status": "FAILED_PRECONDITION"}}, "PROVIDER_MISCONFIGURED"),
        (403, {"error": {"status": "PERMISSION_DENIED"}}, "PROVIDER_MISCONFIGURED"),
        (404, {"error": {"status": "NOT_FOUND"}}, "PROVIDER_MISCONFIGURED"),
        (400, SHAPES["invalid"], "PROVIDER_INPUT_REFUSED"),
    ],
)
async def test_a_refused_request_is_final(server, gemini, look, status, body, code) -> None:
    server.answers.append(Answer(body, status))
    with pytest.raises(ProviderFailed) as caught:
        await gemini.submit(look)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("status", "body", "wait"),
    [
        (429, SHAPES["exhausted"], 27.0),
        (402, {"error": {"status": "RESOURCE_EXHAUSTED"}}, 600.0),
        (503, SHAPES["overloaded"], None),
    ],
)
async def test_limits_and_overload_are_waited_out(server, gemini, look, status, body, wait) -> None:
    server.answers.append(Answer(body, status))
    with pytest.raises(ProviderUnavailable) as caught:
        await gemini.submit(look)
    assert caught.value.retry_after == wait


@pytest.mark.parametrize(
    "answer",
    [
        Answer(way="none"),
        Answer(SHAPES["generated"], way="half"),
        Answer({"error": {"status": "INTERNAL"}}, 500),
        Answer({"error": {"status": "DEADLINE_EXCEEDED"}}, 504),
        Answer(b"<html>", 503),
        Answer(b"<html>", 200),
    ],
    ids=["closed", "half", "500", "504", "gateway", "page"],
)
async def test_an_answer_that_is_lost_may_be_paid(server, gemini, look, answer) -> None:
    server.answers.append(dataclasses.replace(answer))
    with pytest.raises(AnswerLost):
        await gemini.submit(look)


async def test_a_picture_that_is_no_base64_is_invalid(server, gemini, look) -> None:
    part = {"inlineData": {"mimeType": "image/png", "data": "???"}}
    server.answers.append(Answer({"candidates": [{"content": {"parts": [part]}}]}))
    finished = await gemini.submit(look)
    with pytest.raises(ProviderFailed, match="PROVIDER_OUTPUT_INVALID"):
        await gemini.fetch(finished.images[0])


async def test_there_is_nothing_to_ask_about(gemini, look) -> None:
    job = ProviderJob(id="none")
    assert not gemini.can_find
    assert await gemini.find(look, datetime.now(UTC)) is None
    assert not await gemini.cancel(job)
    with pytest.raises(ProviderFailed):
        await gemini.poll(job)
    with pytest.raises(CallbackRefused):
        await gemini.callback({}, b"{}")
