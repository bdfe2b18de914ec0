"""Render children that hang, run out of memory, crash or print do not affect the next request."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from backend.renderers.base import NativeCrash, RenderFailed, RenderRequest
from backend.renderers.local import KEPT_VARIABLES, LocalRenderer
from backend.renderers.wire import RenderLimits
from tests.backend.renderers.conftest import MISBEHAVING, ROOT


def ask(stage: str, **params: object) -> RenderRequest:
    return RenderRequest(stage=stage, inputs={}, params=params)


async def failure(renderer: LocalRenderer, stage: str) -> RenderFailed:
    with pytest.raises(RenderFailed) as caught:
        await renderer.render(ask(stage))
    return caught.value


async def echoes(renderer: LocalRenderer) -> bool:
    """Whether the renderer answers, and answers this very question."""
    token = os.urandom(8).hex()
    return (await renderer.render(ask("echo", token=token))).facts == {"token": token}


def is_alive(pid: int) -> bool:
    """Neither gone nor a zombie that nobody has collected yet."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def ends_within(pid: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not is_alive(pid)


async def test_a_child_starts_with_the_first_request_and_is_kept(misbehaving_renderer):
    assert misbehaving_renderer.child_pids == []
    assert await echoes(misbehaving_renderer)
    first = misbehaving_renderer.child_pids
    assert await echoes(misbehaving_renderer)
    assert misbehaving_renderer.child_pids == first


async def test_low_priority_requests_queue_one_at_a_time(misbehaving_renderer):
    ended = []

    async def render(name: str, is_low_priority: bool) -> None:
        await misbehaving_renderer.render(
            msgspec.structs.replace(ask("echo"), is_low_priority=is_low_priority)
        )
        ended.append(name)

    at_work = asyncio.create_task(misbehaving_renderer.render(ask("echo")))
    await asyncio.sleep(0)
    is_low_priority = [render(name, is_low_priority=True) for name in ("first", "second", "third")]
    others = [render(name, is_low_priority=False) for name in ("other", "another")]
    await asyncio.gather(at_work, *is_low_priority, *others)
    assert ended == ["first", "other", "another", "second", "third"]


async def test_a_hanging_child_is_stopped_at_the_wall_clock_limit(misbehaving_renderer):
    started = time.monotonic()
    failed = await failure(misbehaving_renderer, "hang")
    assert (failed.code, failed.failure.retryable) == ("RENDER_TIMEOUT", False)
    assert 2 <= time.monotonic() - started < 60
    assert await echoes(misbehaving_renderer)


async def test_a_spinning_child_is_stopped_at_the_cpu_limit():
    renderer = LocalRenderer(
        None, limits=RenderLimits(wall_seconds=60, cpu_seconds=1), child_module=MISBEHAVING
    )
    started = time.monotonic()
    failed = await failure(renderer, "spin")
    assert (failed.code, failed.failure.retryable) == ("RENDER_TIMEOUT", False)
    assert time.monotonic() - started < 50
    assert await echoes(renderer)
    await renderer.close()


@pytest.mark.parametrize("stage", ["hog", "native-hog"])
async def test_a_child_out_of_memory_is_refused_and_replaced(misbehaving_renderer, stage):
    assert await echoes(misbehaving_renderer)
    before = misbehaving_renderer.child_pids
    failed = await failure(misbehaving_renderer, stage)
    assert (failed.code, failed.failure.retryable) == ("RENDER_OUT_OF_MEMORY", False)
    assert not is_alive(before[0])
    assert await echoes(misbehaving_renderer)


@pytest.mark.parametrize("stage", ["die", "raise", "lie-about-length"])
async def test_a_broken_child_is_a_retryable_crash_and_is_replaced(misbehaving_renderer, stage):
    failed = await failure(misbehaving_renderer, stage)
    assert (failed.code, failed.failure.retryable) == ("RENDER_CRASHED", True)
    assert await echoes(misbehaving_renderer)


async def test_a_crash_of_native_code_is_told_from_a_killed_child(misbehaving_renderer):
    assert type(await failure(misbehaving_renderer, "crash")) is NativeCrash
    assert type(await failure(misbehaving_renderer, "die")) is RenderFailed
    assert await echoes(misbehaving_renderer)


async def test_a_child_killed_while_working_is_a_retryable_crash(misbehaving_renderer):
    assert await echoes(misbehaving_renderer)
    work = asyncio.create_task(failure(misbehaving_renderer, "hang"))
    await asyncio.sleep(0)  # the request is in the pipe
    os.kill(misbehaving_renderer.child_pids[0], signal.SIGKILL)
    assert (await work).code == "RENDER_CRASHED"
    assert await echoes(misbehaving_renderer)


async def test_library_output_does_not_corrupt_the_frames(misbehaving_renderer, caplog):
    assert (await misbehaving_renderer.render(ask("chatter", mine=1))).facts == {"mine": 1}
    assert await echoes(misbehaving_renderer)
    await misbehaving_renderer.close()
    assert "a library greets" in caplog.text


async def test_a_cancelled_request_leaves_no_response_for_the_next_one(misbehaving_renderer):
    assert await echoes(misbehaving_renderer)
    before = misbehaving_renderer.child_pids[0]
    cancelled = asyncio.create_task(
        misbehaving_renderer.render(ask("echo", token="of the cancelled one"))
    )
    await asyncio.sleep(0)  # the request is in the pipe, its answer on the way
    cancelled.cancel()
    assert await echoes(misbehaving_renderer)
    assert cancelled.cancelled() and not is_alive(before)


async def test_a_request_cancelled_while_its_child_starts_leaves_no_process(misbehaving_renderer):
    task = asyncio.create_task(misbehaving_renderer.render(ask("hang")))
    await asyncio.sleep(0)
    task.cancel()
    assert await echoes(misbehaving_renderer)
    assert len(misbehaving_renderer.child_pids) == 1
    assert children_of(os.getpid()) == misbehaving_renderer.child_pids


async def test_requests_wait_for_a_slot_and_each_gets_its_own_response():
    renderer = LocalRenderer(None, slots=2, child_module=MISBEHAVING)
    assert all(await asyncio.gather(*(echoes(renderer) for _ in range(20))))
    assert len(renderer.child_pids) == 2
    await renderer.close()


async def test_no_credential_is_in_the_childs_environment(misbehaving_renderer, monkeypatch):
    secrets = ("AWS_SECRET_ACCESS_KEY", "SHOPIFY_API_SECRET", "DATABASE_URL", "ATELIER_KEY")
    for name in secrets:
        monkeypatch.setenv(name, "canary-7f3a")
    assert await echoes(misbehaving_renderer)
    environ = Path(f"/proc/{misbehaving_renderer.child_pids[0]}/environ").read_bytes().decode()
    assert "canary-7f3a" not in environ
    names = {entry.partition("=")[0] for entry in environ.split("\0") if entry}
    assert names <= {
        *KEPT_VARIABLES,
        "PYTHONPATH",
        "OPENBLAS_NUM_THREADS",
        "OMP_NUM_THREADS",
        "MALLOC_ARENA_MAX",
    }


async def test_the_child_inherits_only_its_pipes(misbehaving_renderer):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.set_inheritable(True)
        assert await echoes(misbehaving_renderer)
        (pid,) = misbehaving_renderer.child_pids
        held = {fd.readlink() for fd in Path(f"/proc/{pid}/fd").iterdir()}
        assert Path(f"/proc/self/fd/{server.fileno()}").readlink() not in held


async def test_the_child_runs_in_its_own_session(misbehaving_renderer):
    assert await echoes(misbehaving_renderer)
    (pid,) = misbehaving_renderer.child_pids
    assert os.getsid(pid) == pid != os.getsid(0)


async def test_resource_limits_apply_to_the_child(misbehaving_renderer):
    assert await echoes(misbehaving_renderer)
    limits = Path(f"/proc/{misbehaving_renderer.child_pids[0]}/limits").read_text()
    soft = {line[:26].strip(): line[26:].split()[0] for line in limits.splitlines()}
    assert soft["Max core file size"] == "0"
    assert soft["Max file size"] == "0"
    assert soft["Max address space"] == str(512 * 1024**2)


async def test_the_child_cannot_fill_the_disk(misbehaving_renderer, tmp_path):
    path = tmp_path / "written"
    with pytest.raises(RenderFailed):
        await misbehaving_renderer.render(ask("write-a-file", path=str(path)))
    assert path.stat().st_size == 0


PARENT = """
import asyncio, sys
from backend.renderers.base import RenderRequest
from backend.renderers.local import LocalRenderer

async def main():
    renderer = LocalRenderer(None, child_module=sys.argv[1])
    await renderer.render(RenderRequest(stage="echo", inputs={}))
    print(renderer.child_pids[0], flush=True)
    await renderer.render(RenderRequest(stage="hang", inputs={}))

asyncio.run(main())
"""


def test_a_working_child_ends_when_its_parent_is_killed():
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, MISBEHAVING], stdout=subprocess.PIPE, cwd=ROOT
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert is_alive(child)
        parent.kill()
    assert ends_within(child, 5)


def test_a_child_whose_parent_is_gone_ends_at_once():
    config = json.dumps({"parent_pid": 1 << 22, "model_path": None, "limits": {}})
    finished = subprocess.run(
        [sys.executable, "-m", "backend.renderers.child", config],
        cwd=ROOT,
        timeout=10,
        check=False,
    )
    assert finished.returncode == 1


async def test_close_leaves_no_process_even_during_a_request(misbehaving_renderer):
    assert await echoes(misbehaving_renderer)
    (pid,) = misbehaving_renderer.child_pids
    work = asyncio.create_task(failure(misbehaving_renderer, "hang"))
    await asyncio.sleep(0)
    await misbehaving_renderer.close()
    assert (await work).code == "RENDER_CRASHED"
    assert not is_alive(pid) and misbehaving_renderer.child_pids == []


def children_of(pid: int) -> list[int]:
    """Live direct children that run the misbehaving module."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [
        int(child)
        for child in found
        if is_alive(int(child)) and b"misbehaving" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]
