"""Parallel renders use every core, and no more threads than cores."""

import asyncio
from pathlib import Path

import pytest

from backend.renderers.base import RenderRequest
from backend.renderers.local import LocalRenderer
from backend.settings import MODEL_PATH
from backend.worker.run import MOST_THREADS, cores, render_limits

PHOTO = Path(__file__).parents[2] / "data/garments/tee_navy.jpg"


@pytest.mark.parametrize("slots", [1, 2, 3, 8, 64])
def test_render_threads_do_not_exceed_the_cores(monkeypatch, slots):
    for there_are in (1, 2, 4, 16):
        monkeypatch.setattr("backend.worker.run.cores", lambda there_are=there_are: there_are)
        threads = render_limits(slots).threads
        assert 1 <= threads <= MOST_THREADS
        assert threads * slots <= max(there_are, slots)


@pytest.mark.slow
async def test_a_render_in_every_slot_leaves_no_thread_waiting_for_a_core():
    slots = cores()
    renderer = LocalRenderer(MODEL_PATH, slots, render_limits(slots))
    request = RenderRequest(stage="segment", inputs={"source": PHOTO.read_bytes()})
    try:
        await side_by_side(renderer, request, slots)  # the children start
        work = asyncio.create_task(side_by_side(renderer, request, slots))
        samples = []
        while not work.done():
            samples.append(sum(ready_threads(pid) for pid in renderer.child_pids))
            await asyncio.sleep(0.005)
        await work
    finally:
        await renderer.close()
    # One thread hands its work to another and is seen beside it for a moment; that is up to a tenth
    # of the moments where others use the cores too, and six tenths with twice as many threads.
    crowded = sum(ready > cores() for ready in samples) / len(samples)
    assert crowded < 0.25, f"{crowded:.0%} of {len(samples)} moments"


async def side_by_side(renderer: LocalRenderer, request: RenderRequest, slots: int) -> None:
    await asyncio.gather(*(renderer.render(request) for _ in range(slots)))


def ready_threads(pid: int) -> int:
    """Threads of the process that run, or could run if there were a core for them."""
    states = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            states.append((task / "stat").read_text().rpartition(") ")[2][0])
        except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
            continue
    return states.count("R")
