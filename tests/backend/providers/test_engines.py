"""Each stage has the engine that was chosen for it, or the process does not start."""

from contextlib import AsyncExitStack

import pytest
from msgspec.structs import replace

from backend.app import create_app
from backend.errors import ConfigurationError
from backend.providers.engines import available_stages, chosen_engines
from backend.renderers.base import Rendered, RenderFailed, RenderRequest
from backend.renderers.local import LOCAL_STAGES, LocalRenderer
from backend.settings import Settings
from backend.shops.token_encryption import generate_key
from backend.worker.run import open_worker_context
from backend.workflows import WORKFLOWS
from backend.workflows.catalog_image import CATALOG_IMAGE
from backend.workflows.stages import Stage, StageName

ALL = frozenset(StageName)
SETTINGS = Settings(  # nothing is connected to
    database_url="postgresql://127.0.0.1:1/none",
    s3_bucket="none",
    s3_endpoint_url="http://127.0.0.1:1",
    shopify_api_key="key",
    shopify_api_secret="shpss_0123456789abcdef0123456789abcdef",
    token_keys=generate_key(),
)


@pytest.fixture(autouse=True)
def s3_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both processes sign URLs."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "none")


class Recording:
    """An engine that notes which stages it was asked for."""

    def __init__(self, name: str, stages: frozenset[StageName] = ALL) -> None:
        self.name = name
        self.stages = stages
        self.asked: list[str] = []
        self.is_closed = False

    async def render(self, request: RenderRequest) -> Rendered:
        """Nothing."""
        self.asked.append(request.stage)
        return Rendered(files=[], facts={})

    async def close(self) -> None:
        """Note it."""
        self.is_closed = True


async def test_each_stage_runs_on_its_engine() -> None:
    local, hosted = Recording("local"), Recording("hosted", frozenset({StageName.DRESS}))
    engines = {"local": local, "hosted": hosted}
    renderer = chosen_engines(engines, {"dress": "hosted"}, WORKFLOWS.values())
    for stage in ("validate", "dress", "encode_render"):
        await renderer.render(RenderRequest(stage=stage, inputs={}))
    assert (local.asked, hosted.asked) == (["validate", "encode_render"], ["dress"])
    await renderer.close()
    assert local.is_closed
    assert hosted.is_closed


async def test_a_stage_without_an_engine_fails_its_job_and_nothing_else() -> None:
    engines = {"local": Recording("local", ALL - {StageName.COMPOSE})}
    renderer = chosen_engines(engines, {}, [CATALOG_IMAGE])
    with pytest.raises(RenderFailed) as caught:
        await renderer.render(RenderRequest(stage="compose", inputs={}))
    assert caught.value.failure.code == "ENGINE_MISSING"
    await renderer.render(RenderRequest(stage="encode", inputs={}))


def test_an_engine_cannot_be_chosen_for_a_stage_that_it_does_not_run() -> None:
    engines = {"local": Recording("local"), "hosted": Recording("hosted", frozenset())}
    with pytest.raises(ConfigurationError, match="segment of catalog-image has no engine: hosted"):
        chosen_engines(engines, {"segment": "hosted"}, WORKFLOWS.values())


@pytest.mark.parametrize(
    ("engines", "message"),
    [
        ("dress=dall-e", "ENGINES names the engines dall-e; there are local, fashn"),
        ("dress=fashn", "key is missing: set FASHN_API_KEY"),
        ("dres=local", "ENGINES names the stages dres; there are change_background, compose,"),
        ("fetch=local", "ENGINES names the stages fetch;"),
        ("normalise=local", "ENGINES names the stages normalise;"),
        ("dress", "name each stage once, such as dress=local"),
        ("dress=", "name each stage once"),
        ("dress=local,dress=local", "name each stage once"),
    ],
)
async def test_a_worker_with_a_wrong_choice_does_not_start(engines: str, message: str) -> None:
    settings = replace(SETTINGS, engines=engines)
    async with AsyncExitStack() as stack:
        with pytest.raises(ConfigurationError, match=message):
            await open_worker_context(stack, settings, 1, None)


@pytest.mark.parametrize("engines", ["dress=fashn", "dress=dall-e"])
def test_a_web_process_with_a_wrong_choice_does_not_start(
    engines: str,
) -> None:
    with pytest.raises(ConfigurationError):
        create_app(replace(SETTINGS, engines=engines))


async def test_a_hosted_stage_is_not_rendered_here() -> None:
    settings = replace(SETTINGS, engines="dress=fashn,try_on=fashn", fashn_api_key="key")
    async with AsyncExitStack() as stack:
        context, _ = await open_worker_context(stack, settings, 1, None)
        assert {stage: each.name for stage, each in context.providers.items()} == {
            "dress": "fashn",
            "try_on": "fashn",
        }
        with pytest.raises(RenderFailed, match="ENGINE_MISSING"):
            await context.renderer.render(RenderRequest(stage="dress", inputs={}))


async def test_a_stage_that_nobody_makes_stops_no_process() -> None:
    looks = replace(CATALOG_IMAGE, stages=(*CATALOG_IMAGE.stages, Stage(StageName.LOOK, "")))
    renderer = chosen_engines({"local": LocalRenderer(None)}, {}, [looks])
    assert StageName.LOOK not in renderer.by_stage
    assert StageName.LOOK not in available_stages(LOCAL_STAGES, {})
    assert StageName.LOOK in available_stages(LOCAL_STAGES, {"look": "fashn"})


async def test_a_stage_chosen_for_the_local_engine_must_run_there() -> None:
    looks = replace(CATALOG_IMAGE, stages=(*CATALOG_IMAGE.stages, Stage(StageName.LOOK, "")))
    with pytest.raises(ConfigurationError, match="stage look of catalog-image has no engine"):
        chosen_engines({"local": LocalRenderer(None)}, {"look": "local"}, [looks])


async def test_a_worker_with_a_good_choice_starts() -> None:
    settings = replace(SETTINGS, engines=" dress = local, segment=local,")
    assert settings.chosen_engines == {"dress": "local", "segment": "local"}
    async with AsyncExitStack() as stack:
        await open_worker_context(stack, settings, 1, None)


def test_a_web_process_that_cannot_normalise_uploads_does_not_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(LocalRenderer, "stages", LocalRenderer.stages - {StageName.NORMALISE})
    with pytest.raises(ConfigurationError, match="stage normalise of uploads has no engine"):
        create_app(SETTINGS)
