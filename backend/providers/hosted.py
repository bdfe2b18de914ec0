"""Makes each hosted provider from its settings, and refuses settings that cannot work."""

from collections.abc import Mapping

import httpx

from backend.errors import ConfigurationError
from backend.providers.account import ProviderAccount
from backend.providers.fal import FalProvider
from backend.providers.fal_models import FAL_DEFAULTS, is_endpoint
from backend.providers.fashn import FashnProvider, fashn_stage_models
from backend.providers.fashn_models import FASHN_DEFAULTS
from backend.providers.gemini import (
    DEFAULT_MODEL,
    GEMINI_DEFAULTS,
    GeminiProvider,
    is_model_name,
)
from backend.providers.provider import ProviderLimits
from backend.providers_config import ProvidersConfig, price_micros, stage_pairs
from backend.workflows.stages import StageName


def fashn_provider(
    config: ProvidersConfig, transport: httpx.AsyncBaseTransport | None
) -> FashnProvider:
    """FASHN, as it is set. Raises `ConfigurationError`."""
    models = FASHN_DEFAULTS | chosen_models("FASHN_MODELS", config.fashn_models, FASHN_DEFAULTS)
    known = fashn_stage_models()
    for stage, model in models.items():
        if model not in known[stage]:
            choices = ", ".join(sorted(known[stage]))
            raise ConfigurationError(f"FASHN_MODELS has {stage}={model}; there are {choices}.")
    price = price_micros("FASHN_PRICE", config.fashn_price)
    account = ProviderAccount(
        key=required_key("FASHN_API_KEY", config.fashn_api_key),
        base_url=config.fashn_base_url,
        models=models,
        limits=limits_of(config.fashn_concurrency, config.fashn_per_minute),
        prices={} if price is None else dict.fromkeys(models, price),
        sends_inline=config.provider_inputs == "inline",
    )
    return FashnProvider(account, transport)


def fal_provider(
    config: ProvidersConfig, transport: httpx.AsyncBaseTransport | None
) -> FalProvider:
    """The fal queue, as it is set. Raises `ConfigurationError`."""
    models = FAL_DEFAULTS | chosen_models("FAL_MODELS", config.fal_models, FAL_DEFAULTS)
    for stage, model in models.items():
        if not is_endpoint(model):
            raise ConfigurationError(
                f"FAL_MODELS has {stage}={model}, which is not an endpoint such as "
                f"{FAL_DEFAULTS[stage]}."
            )
    prices = chosen_models("FAL_PRICES", config.fal_prices, FAL_DEFAULTS)
    account = ProviderAccount(
        key=required_key("FAL_KEY", config.fal_key),
        base_url=config.fal_base_url,
        models=models,
        limits=limits_of(config.fal_concurrency, config.fal_per_minute),
        prices={
            stage: micros
            for stage, price in prices.items()
            if (micros := price_micros("FAL_PRICES", price)) is not None
        },
        sends_inline=config.provider_inputs == "inline",
    )
    return FalProvider(
        account,
        platform_url=config.fal_platform_url,
        jwks_url=config.fal_jwks_url,
        transport=transport,
    )


def gemini_provider(
    config: ProvidersConfig, transport: httpx.AsyncBaseTransport | None
) -> GeminiProvider:
    """Gemini, as it is set. Raises `ConfigurationError`."""
    models = GEMINI_DEFAULTS | chosen_models("GEMINI_MODELS", config.gemini_models, GEMINI_DEFAULTS)
    for stage, model in models.items():
        if not is_model_name(model):
            raise ConfigurationError(
                f"GEMINI_MODELS has {stage}={model}, which is not a model such as {DEFAULT_MODEL}."
            )
    price = price_micros("GEMINI_PRICE", config.gemini_price)
    account = ProviderAccount(
        key=required_key("GEMINI_API_KEY", config.gemini_api_key),
        base_url=config.gemini_base_url,
        models=models,
        limits=limits_of(config.gemini_concurrency, config.gemini_per_minute),
        prices={} if price is None else dict.fromkeys(models, price),
        sends_inline=True,
    )
    return GeminiProvider(account, transport)


def chosen_models(variable: str, text: str, makes: Mapping[StageName, str]) -> dict[StageName, str]:
    """The models that a setting chooses, for stages that the provider makes."""
    models = stage_pairs(variable, text, "try_on=a-model")
    if unknown := sorted(models.keys() - {stage.value for stage in makes}):
        raise ConfigurationError(
            f"{variable} names the stages {', '.join(unknown)}; there are "
            f"{', '.join(sorted(makes))}."
        )
    return {StageName(stage): model for stage, model in models.items()}


def required_key(variable: str, key: str) -> str:
    """The key, without which the provider refuses everything."""
    if not key:
        raise ConfigurationError(
            f"ENGINES chooses a provider whose key is missing: set {variable}."
        )
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigurationError(f"{variable} has characters that no key has.")
    return key


def limits_of(concurrency: int, per_minute: int) -> ProviderLimits:
    """What the settings allow, over all processes."""
    return ProviderLimits(concurrent=concurrency, per_minute=per_minute or None)
