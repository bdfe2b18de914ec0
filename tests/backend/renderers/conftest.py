"""Renderers with real child processes, closed after each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backend.renderers.local import LocalRenderer
from backend.renderers.wire import RenderLimits
from tests.backend.renderers.stage_runs import JobRun, ask, keep

ROOT = Path(__file__).resolve().parents[3]
MISBEHAVING = "tests.backend.renderers.misbehaving_child"
MODEL = ROOT / ".models/rembg/u2netp.onnx"


@pytest.fixture(scope="session")
def garment():
    """The bytes of a sample garment by name."""
    return lambda name: (ROOT / f"tests/data/garments/{name}.jpg").read_bytes()


@pytest.fixture(scope="session")
async def renderer() -> AsyncIterator[LocalRenderer]:
    """The product's own child, with the model; kept warm, as a worker keeps it."""
    renderer = LocalRenderer(MODEL)
    yield renderer
    await renderer.close()


@pytest.fixture(scope="session")
def segmented(renderer, garment):
    """A sample garment's run after `segment`, by name; each is cut out once."""
    benches: dict[str, JobRun] = {}

    async def stage_run(name: str) -> JobRun:
        if name not in benches:
            source = garment(name)
            benches[name] = JobRun(data={"source": source})
            keep(benches[name], "segment", await ask(renderer, "segment", source=source))
        return benches[name]

    return stage_run


@pytest.fixture
async def misbehaving_renderer() -> AsyncIterator[LocalRenderer]:
    """One slot of `misbehaving_child`, with limits short enough to wait for."""
    renderer = LocalRenderer(
        None,
        limits=RenderLimits(wall_seconds=2, cpu_seconds=10, memory_bytes=512 * 1024**2),
        child_module=MISBEHAVING,
    )
    yield renderer
    await renderer.close()
