"""The adapters and the stand-in, which were written apart, understand each other's wire."""

import io
from collections.abc import Callable
from datetime import UTC, datetime

import httpx
import msgspec
import pytest
from PIL import Image

from backend.dev.providers import StandInProvider
from backend.providers.engines import close_providers, hosted_providers
from backend.providers.fal_models import FAL_DEFAULTS
from backend.providers.fashn_models import FASHN_DEFAULTS
from backend.providers.outputs import is_image
from backend.providers.provider import (
    AnswerLost,
    CallbackRefused,
    Finished,
    InputImage,
    Provider,
    ProviderFailed,
    ProviderJob,
    ProviderUnavailable,
    SubmitRequest,
)
from backend.providers_config import ProvidersConfig
from backend.workflows.stages import StageName
from tests.wait import wait_until

pytestmark = pytest.mark.slow
# The pictures and parameters of each stage, as its workflow has them.
STAGES: dict[str, tuple[list[str], dict[str, object]]] = {
    "dress": (["cutout"], {"category": "top", "body": "female", "background": "#f4f4f2"}),
    "try_on": (["product", "person"], {"category": "dress"}),
    "swap_model": (["product", "person"], {}),
    "extract": (["product"], {"background": "#ffffff"}),
    "look": (["product", "garment_2", "person"], {}),
    "generate_model": ([], {"body": "male", "aspect_ratio": "4:5"}),
    "generate_background": ([], {"place": "beach", "aspect_ratio": "16:9"}),
    "generate_garment": (["product"], {"category": "shoes", "style": "casual"}),
    "change_background": (["dressed", "background"], {}),
}
CASES = [("fashn", each.value) for each in FASHN_DEFAULTS] + [
    ("fal", each.value) for each in FAL_DEFAULTS
]


@pytest.fixture
def callbacks() -> list[httpx.Request]:
    """What the stand-in has sent to the app."""
    return []


@pytest.fixture
async def stand_in(callbacks):
    def receive(request: httpx.Request) -> httpx.Response:
        callbacks.append(request)
        return httpx.Response(204)

    def bucket(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=photo("navy"), headers={"Content-Type": "image/png"})

    async with StandInProvider(
        app_transport=httpx.MockTransport(receive),
        source_transport=httpx.MockTransport(bucket),
        seconds=0.01,
    ) as found:
        yield found


@pytest.fixture
async def provider_of(stand_in):
    """The provider of a stage, led to the stand-in as `ENGINES` would."""
    opened: list[dict[StageName, Provider]] = []

    def make(engine: str, stage: str, inputs: str = "inline") -> Provider:
        settings = stand_in.settings | {"provider_inputs": inputs}
        config = msgspec.convert(settings, ProvidersConfig)
        opened.append(hosted_providers(config, {stage: engine}))
        return opened[-1][StageName(stage)]

    yield make
    for providers in opened:
        await close_providers(providers)


def photo(colour: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (96, 128), colour).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def request_for() -> Callable[..., SubmitRequest]:
    def make(stage: str, callback_url: str | None = None) -> SubmitRequest:
        names, params = STAGES[stage]
        pictures = {
            name: InputImage(
                data=photo("navy"),
                content_type="image/png",
                url=f"https://bucket.example/{name}?X-Amz-Signature=s",
            )
            for name in names
        }
        return SubmitRequest(
            stage=StageName(stage),
            inputs=pictures,
            params=params,
            reference="reference-1",
            seed=1234,
            callback_url=callback_url,
        )

    return make


async def collected(provider: Provider, job: ProviderJob | Finished) -> Finished:
    """Poll until it has finished."""
    assert isinstance(job, ProviderJob)

    async def poll() -> Finished | None:
        answer = await provider.poll(job)
        return answer if isinstance(answer, Finished) else None

    found = await wait_until(poll)
    assert found is not None
    return found


@pytest.mark.parametrize(("engine", "stage"), CASES)
async def test_each_stage_is_made_and_paid_for(provider_of, request_for, engine, stage) -> None:
    provider = provider_of(engine, stage)
    finished = await collected(provider, await provider.submit(request_for(stage)))
    assert is_image(await provider.fetch(finished.images[0]))
    assert finished.cost.units == 1
    assert finished.seed == 1234


@pytest.mark.parametrize("engine", ["fashn", "fal"])
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("rate_limited", ProviderUnavailable),
        ("out_of_credits", ProviderUnavailable),
        ("server_error", AnswerLost),
        ("answer_lost", AnswerLost),
    ],
)
async def test_each_fault_of_a_submission_is_understood(
    stand_in, provider_of, request_for, engine, fault, error
) -> None:
    stand_in.order_fault(fault)
    with pytest.raises(error):
        await provider_of(engine, "try_on").submit(request_for("try_on"))
    assert len(stand_in.predictions) == (fault == "answer_lost")


@pytest.mark.parametrize("engine", ["fashn", "fal"])
@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("moderation", "CONTENT_REFUSED"),
        ("pose_not_found", "POSE_NOT_FOUND"),
        ("failed", "PROVIDER_FAILED"),
    ],
)
async def test_each_failure_of_the_work_is_understood(
    stand_in, provider_of, request_for, engine, fault, code
) -> None:
    stand_in.order_fault(fault)
    provider = provider_of(engine, "try_on")
    job = await provider.submit(request_for("try_on"))
    with pytest.raises(ProviderFailed) as caught:
        await collected(provider, job)
    assert caught.value.code == code


@pytest.mark.parametrize("engine", ["fashn", "fal"])
@pytest.mark.parametrize("fault", ["wrong_bytes", "expired_output"])
async def test_an_output_that_is_none_is_invalid(
    stand_in, provider_of, request_for, engine, fault
) -> None:
    stand_in.order_fault(fault)
    provider = provider_of(engine, "try_on")
    finished = await collected(provider, await provider.submit(request_for("try_on")))
    with pytest.raises(ProviderFailed) as caught:
        await provider.fetch(finished.images[0])
    assert caught.value.code == "PROVIDER_OUTPUT_INVALID"


@pytest.mark.parametrize("inputs", ["url", "inline"])
async def test_a_lost_answer_of_fal_is_found_in_its_list(
    stand_in, provider_of, request_for, inputs
) -> None:
    provider, request = provider_of("fal", "try_on", inputs), request_for("try_on")
    since = datetime.now(UTC)
    if inputs == "url":  # then another request with the same seed is not taken for it
        await provider.submit(msgspec.structs.replace(request, reference="reference-2"))
    stand_in.order_fault("answer_lost")
    with pytest.raises(AnswerLost):
        await provider.submit(request)
    sent_to = provider.models[request.stage]
    later = msgspec.structs.replace(request, inputs={}, params={}, model=sent_to)

    async def find() -> ProviderJob | None:
        try:
            found: ProviderJob | None = await provider.find(later, since)
        except ProviderUnavailable:
            return None
        return found

    found = await wait_until(find)
    assert found is not None
    assert found.id == stand_in.predictions[-1].id
    assert (await collected(provider, found)).images


async def test_the_callbacks_of_fal_are_verified(
    stand_in, provider_of, request_for, callbacks
) -> None:
    stand_in.order_fault("callback_forged")
    provider = provider_of("fal", "try_on")
    url = "https://app.example/callbacks/fal/token"
    job = await provider.submit(request_for("try_on", url))
    await collected(provider, job)
    await wait_until(lambda: len(callbacks) == 2)
    named, refused = [], 0
    for each in callbacks:
        assert str(each.url) == url
        try:
            named.append(await provider.callback(dict(each.headers), each.content))
        except CallbackRefused:
            refused += 1
    assert (named, refused) == ([job.id], 1)


async def test_a_callback_of_fashn_names_its_prediction(
    provider_of, request_for, callbacks
) -> None:
    provider = provider_of("fashn", "try_on")
    job = await provider.submit(request_for("try_on", "https://app.example/callbacks/fashn/token"))
    await wait_until(lambda: len(callbacks) == 1)
    assert await provider.callback(dict(callbacks[0].headers), callbacks[0].content) == job.id


async def test_a_request_of_fal_is_cancelled(stand_in, provider_of, request_for) -> None:
    stand_in.hold()
    provider = provider_of("fal", "try_on")
    job = await provider.submit(request_for("try_on"))
    assert await provider.cancel(job)
    with pytest.raises(ProviderFailed):
        await collected(provider, job)
    assert not await provider.cancel(job)
