"""Settings that cannot work are refused before the process starts, each with what to set."""

import msgspec
import pytest

from backend.errors import ConfigurationError
from backend.providers.engines import close_providers, hosted_providers
from backend.providers.fal import FalProvider
from backend.providers.fashn import FashnProvider
from backend.providers.gemini import GeminiProvider
from backend.providers_config import ProvidersConfig
from backend.settings import Settings
from backend.workflows.stages import StageName
from tests.commands import COMPLETE_ENVIRONMENT

KEYS = {"fashn_api_key": "fa-key"}


async def test_one_provider_serves_all_stages_that_chose_it() -> None:
    config = ProvidersConfig(
        fashn_api_key="fa-key",
        fashn_models="try_on=tryon-max",
        fashn_price="0.075",
        fashn_per_minute=0,
    )
    providers = hosted_providers(config, {"dress": "fashn", "try_on": "fashn", "segment": "local"})
    assert providers.keys() == {"dress", "try_on"}
    [fashn] = set(providers.values())
    assert isinstance(fashn, FashnProvider)
    assert fashn.account.models[StageName.TRY_ON] == "tryon-max"
    assert fashn.account.models[StageName.DRESS] == "product-to-model"
    assert fashn.account.prices[StageName.TRY_ON] == 75_000
    assert (fashn.limits.concurrent, fashn.limits.per_minute) == (6, None)
    await close_providers(providers)


async def test_three_providers_can_share_the_stages() -> None:
    config = ProvidersConfig(
        fashn_api_key="a",
        fal_key="b",
        fal_models="look=fal-ai/other/edit",
        fal_prices="look=0.08",
        gemini_api_key="c",
        gemini_price="0.067",
    )
    chosen = {"dress": "fashn", "look": "fal", "generate_background": "gemini"}
    providers = hosted_providers(config, chosen)
    fal, gemini = providers[StageName.LOOK], providers[StageName.GENERATE_BACKGROUND]
    assert isinstance(fal, FalProvider)
    assert fal.account.models[StageName.LOOK] == "fal-ai/other/edit"
    assert fal.account.prices == {StageName.LOOK: 80_000}
    assert isinstance(gemini, GeminiProvider)
    assert gemini.account.prices[StageName.DRESS] == 67_000
    await close_providers(providers)


@pytest.mark.parametrize(
    ("settings", "chosen", "message"),
    [
        ({}, "dress=fashn", "set FASHN_API_KEY"),
        ({"fashn_api_key": "a\nb"}, "dress=fashn", "FASHN_API_KEY has characters"),
        (KEYS, "look=fashn", "ENGINES has look=fashn, but fashn makes only change_background"),
        (
            KEYS | {"fashn_models": "try_on=packshot"},
            "dress=fashn",
            "FASHN_MODELS has try_on=packshot; there are product-to-model, tryon-max, tryon-v1.6",
        ),
        (KEYS | {"fashn_models": "look=edit"}, "dress=fashn", "FASHN_MODELS names the stages look"),
        (KEYS | {"fashn_models": "try_on"}, "dress=fashn", "name each stage once"),
        (KEYS | {"fashn_price": "cheap"}, "dress=fashn", "FASHN_PRICE must be US dollars"),
        (KEYS | {"fashn_price": "-1"}, "dress=fashn", "FASHN_PRICE must be US dollars"),
        (KEYS | {"fashn_price": "nan"}, "dress=fashn", "FASHN_PRICE must be US dollars"),
        ({}, "look=fal", "set FAL_KEY"),
        ({}, "look=gemini", "set GEMINI_API_KEY"),
        ({"fal_key": "k"}, "segment=fal", "ENGINES has segment=fal, but fal makes only"),
        (
            {"fal_key": "k", "fal_models": "look=../../admin"},
            "look=fal",
            "FAL_MODELS has look=../../admin, which is not an endpoint",
        ),
        (
            {"fal_key": "k", "fal_prices": "look=free"},
            "look=fal",
            "FAL_PRICES must be US dollars",
        ),
        (
            {"gemini_api_key": "k", "gemini_models": "look=a/b"},
            "look=gemini",
            "GEMINI_MODELS has look=a/b, which is not a model",
        ),
    ],
)
def test_a_choice_that_cannot_work_is_refused(settings, chosen, message) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        hosted_providers(msgspec.convert(settings, ProvidersConfig), dict([chosen.split("=")]))
    assert "fa-key" not in caught.value.message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FASHN_BASE_URL", "http://api.fashn.ai/v1"),
        ("FASHN_BASE_URL", "https://key@api.fashn.ai/v1"),
        ("FASHN_BASE_URL", "api.fashn.ai"),
        ("FAL_BASE_URL", "http://10.0.0.1"),
        ("FAL_JWKS_URL", "ftp://rest.fal.ai"),
        ("FAL_PLATFORM_URL", "https://"),
        ("GEMINI_BASE_URL", "http://127.0.0.1.example"),
        ("PUBLIC_URL", "http://app.example"),
        ("PUBLIC_URL", "https://app.example/path"),
    ],
)
def test_an_address_over_which_a_key_could_leak_is_refused(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} must be"):
        Settings.from_env({**COMPLETE_ENVIRONMENT, name: value})


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_a_stand_in_on_this_machine_needs_no_https(host: str) -> None:
    url = f"http://{host}:9000/v1"
    settings = Settings.from_env({**COMPLETE_ENVIRONMENT, "FASHN_BASE_URL": url})
    assert settings.fashn_base_url == url


def test_the_settings_do_not_show_the_keys() -> None:
    settings = Settings.from_env({**COMPLETE_ENVIRONMENT, "FASHN_API_KEY": "fa-key"})
    assert "fa-key" not in repr(settings) + repr(msgspec.convert(KEYS, ProvidersConfig))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("PROVIDER_INPUTS", "urls", "PROVIDER_INPUTS is invalid: it must be one of url, inline"),
        ("FASHN_CONCURRENCY", "0", "FASHN_CONCURRENCY is invalid"),
        ("FAL_PER_MINUTE", "many", "FAL_PER_MINUTE is invalid: it must be a whole number"),
    ],
)
def test_a_setting_out_of_its_range_is_named(name: str, value: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Settings.from_env({**COMPLETE_ENVIRONMENT, name: value})
