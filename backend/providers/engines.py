"""The engine of each stage: chosen in the settings, and checked before the process starts."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping

import httpx

from backend.errors import ConfigurationError
from backend.failures.codes import ENGINE_MISSING
from backend.providers.hosted import fal_provider, fashn_provider, gemini_provider
from backend.providers.provider import Provider
from backend.providers_config import ProvidersConfig
from backend.renderers.base import Engine, Rendered, RenderFailed, RenderRequest
from backend.workflows.registry import Workflow
from backend.workflows.stages import StageName

DEFAULT_ENGINE = "local"
# The worker fetches by itself, for no engine knows a shop's token. Untrusted pictures are always
# normalised on this machine, before anybody else sees them.
NOT_CHOSEN = frozenset({StageName.FETCH, StageName.NORMALISE, StageName.NORMALISE_OUTPUT})
HOSTED: dict[str, Callable[[ProvidersConfig, httpx.AsyncBaseTransport | None], Provider]] = {
    "fashn": fashn_provider,
    "fal": fal_provider,
    "gemini": gemini_provider,
}


class ChosenEngines:
    """A renderer that has each stage run by the engine that was chosen for it."""

    name = "chosen-engines"

    def __init__(self, engines: Mapping[str, Engine], by_stage: Mapping[str, Engine]) -> None:
        self.engines = engines
        self.by_stage = by_stage

    async def render(self, request: RenderRequest) -> Rendered:
        """Run one stage. Raises `RenderFailed`, also for a stage that has no engine."""
        engine = self.by_stage.get(request.stage)
        if engine is None:
            raise RenderFailed(ENGINE_MISSING)
        return await engine.render(request)

    async def close(self) -> None:
        """Close every engine, also those that were not chosen."""
        await asyncio.gather(*(engine.close() for engine in self.engines.values()))


def chosen_engines(
    engines: Mapping[str, Engine],
    chosen: Mapping[str, str],
    workflows: Iterable[Workflow],
) -> ChosenEngines:
    """The engines by their names, and which is `chosen` for which stage; the rest is the default's.

    A stage that was chosen for a hosted provider is not among them. A stage that the default engine
    does not run needs a choice; until then it has no engine, and the workflow is not enabled.
    Raises `ConfigurationError` for a chosen engine that does not run its stage; the message names
    each one with its workflow.
    """
    require_choices(engines, chosen)
    by_stage: dict[str, Engine] = {}
    problems = []
    for workflow in workflows:
        for stage in workflow.stages:
            name = chosen.get(stage.name, DEFAULT_ENGINE)
            if stage.name is StageName.FETCH or name in HOSTED:
                continue
            if stage.name in engines[name].stages:
                by_stage[stage.name] = engines[name]
            elif stage.name in chosen:
                problems.append(no_engine(stage.name, workflow.name, name))
    if problems:
        raise ConfigurationError(" ".join(problems))
    return ChosenEngines(engines, by_stage)


def available_stages(
    local_stages: Collection[StageName], chosen: Mapping[str, str]
) -> frozenset[StageName]:
    """The stages that have an engine: the local ones, and those chosen for a hosted provider."""
    hosted = {StageName(stage) for stage, engine in chosen.items() if engine in HOSTED}
    return frozenset(local_stages) | hosted


def hosted_providers(
    config: ProvidersConfig,
    chosen: Mapping[str, str],
    transport: httpx.AsyncBaseTransport | None = None,
) -> dict[StageName, Provider]:
    """The provider of each stage that was chosen for one: one object for each provider.

    `transport` stands in for the network in tests. Raises `ConfigurationError` for a choice that
    cannot work. Whoever asks for them closes them (`close_providers`).
    """
    require_choices([DEFAULT_ENGINE], chosen)
    accounts = {name: HOSTED[name] for name in set(chosen.values()) & HOSTED.keys()}
    made = {name: make(config, transport) for name, make in accounts.items()}
    found: dict[StageName, Provider] = {}
    for stage, name in chosen.items():
        if name not in made:
            continue
        if stage not in made[name].stages:
            can = ", ".join(sorted(made[name].stages))
            raise ConfigurationError(f"ENGINES has {stage}={name}, but {name} makes only {can}.")
        found[StageName(stage)] = made[name]
    return found


async def close_providers(providers: Mapping[StageName, Provider]) -> None:
    """Close each of them once."""
    await asyncio.gather(*(each.close() for each in set(providers.values())))


def require_choices(engines: Collection[str], chosen: Mapping[str, str]) -> None:
    """Raise `ConfigurationError` unless these are engines that there are, for stages to choose."""
    stages = sorted(set(StageName) - NOT_CHOSEN)
    if unknown := sorted(chosen.keys() - set(stages)):
        raise ConfigurationError(
            f"ENGINES names the stages {', '.join(unknown)}; there are {', '.join(stages)}."
        )
    names = [*engines, *(name for name in HOSTED if name not in engines)]
    if unknown := sorted(set(chosen.values()) - set(names)):
        raise ConfigurationError(
            f"ENGINES names the engines {', '.join(unknown)}; there are {', '.join(names)}."
        )


def require_stage(engine: Engine, name: str, stage: StageName, of: str) -> None:
    """Raise `ConfigurationError` unless the engine of that name runs this stage of `of`."""
    if stage not in engine.stages:
        raise ConfigurationError(no_engine(stage, of, name))


def no_engine(stage: StageName, of: str, engine: str) -> str:
    """What an operator reads."""
    return f"The stage {stage} of {of} has no engine: {engine} does not run it."
