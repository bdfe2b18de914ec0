"""The engine on this machine: one long-lived child process per slot.

A child is spawned, never forked (libvips does not survive a fork). It is started with the first
request and kept while it works. It is replaced when a request exceeds its time or its memory, kills
it or is cancelled, so that a late reply can never be taken for the next request's.
"""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import msgspec

from backend.failures.codes import RENDER_CRASHED, RENDER_TIMEOUT
from backend.renderers.base import NativeCrash, Rendered, RenderFailed, RenderRequest
from backend.renderers.wire import (
    HEADER,
    ChildConfig,
    ChildReply,
    RenderLimits,
    body_length,
    frame,
)
from backend.workflows.stages import StageName

log = logging.getLogger(__name__)

PACKAGE_ROOT = Path(__file__).resolve().parents[2]
# What the child can run: the keys of its table in `stages`, which is not imported here.
LOCAL_STAGES = frozenset(
    {
        StageName.NORMALISE,
        StageName.NORMALISE_OUTPUT,
        StageName.VALIDATE,
        StageName.PREPARE,
        StageName.SEGMENT,
        StageName.COMPOSE,
        StageName.ENCODE,
        StageName.DRESS,
        StageName.ENCODE_RENDER,
        StageName.SWAP_WITH_IMAGE,
        StageName.SWAP_WITH_SPEC,
        StageName.ENCODE_SWAP,
        StageName.ENCODE_GENERATED,
    }
)
NATIVE_CRASHES = frozenset({signal.SIGSEGV, signal.SIGABRT, signal.SIGFPE})
# All that a child inherits; notably no AWS_*, SHOPIFY_* or DATABASE_URL.
KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "TZ")


class LocalRenderer:
    """Runs stages in `slots` child processes; further requests wait.

    Without `model_path`, or if the file is not the known one, products are found by the colour of
    their backdrop alone. `child_module` is the module that the child runs.
    """

    name = "atelier-local"
    stages = LOCAL_STAGES

    def __init__(
        self,
        model_path: Path | None,
        slots: int = 1,
        limits: RenderLimits | None = None,
        *,
        child_module: str = "backend.renderers.child",
    ) -> None:
        model = str(model_path.resolve()) if model_path else None
        self._slots = [_Slot(child_module, model, limits or RenderLimits()) for _ in range(slots)]
        # Last in, first out: the warm child is used again before a cold one is started.
        self._free: asyncio.LifoQueue[_Slot] = asyncio.LifoQueue()
        for slot in self._slots:
            self._free.put_nowait(slot)
        self._low_priority_line = asyncio.Lock()
        self._closed = False

    async def render(self, request: RenderRequest) -> Rendered:
        """Run one stage in the first free child. Raises `RenderFailed`.

        First come, first served. Of the requests with low priority only one waits in that line at a
        time, so the others pass them, and none of them waits for ever.
        """
        async with self._low_priority_line if request.is_low_priority else contextlib.nullcontext():
            slot = await self._free.get()
        try:
            if self._closed:
                raise RenderFailed(RENDER_CRASHED)
            return await slot.render(request)
        finally:
            self._free.put_nowait(slot)

    async def close(self) -> None:
        """Kill every child at once; a running request fails as `RENDER_CRASHED`."""
        self._closed = True
        for slot in self._slots:
            slot.kill_child()
        # A slot is free again once the request in it has failed.
        for slot in [await self._free.get() for _ in self._slots]:
            await slot.discard_child()
            self._free.put_nowait(slot)

    @property
    def child_pids(self) -> list[int]:
        """Process ids of the children that are alive."""
        return [slot.child.pid for slot in self._slots if slot.child is not None]


class _Slot:
    """A place for one child, and the exchange with it."""

    def __init__(self, module: str, model_path: str | None, limits: RenderLimits) -> None:
        self.child: Process | None = None
        self._module = module
        self._model_path = model_path
        self._limits = limits
        self._stderr_task: asyncio.Task[None] | None = None

    async def render(self, request: RenderRequest) -> Rendered:
        reusable = False
        try:
            async with asyncio.timeout(self._limits.wall_seconds):
                reply = await self._ask(request)
            reusable = not reply.spent
        except TimeoutError as error:
            raise RenderFailed(RENDER_TIMEOUT) from error
        except (EOFError, OSError) as error:
            raise _early_end(await self._exit_code()) from error
        except (ValueError, msgspec.DecodeError) as error:
            raise RenderFailed(RENDER_CRASHED) from error
        finally:
            if not reusable:  # also when cancelled: what this child writes next answers no request
                await self.discard_child()
        return _rendered(reply)

    def kill_child(self) -> None:
        """Kill the child if there is one alive; its reader sees the end of the pipe."""
        if self.child is not None and self.child.returncode is None:
            self.child.kill()

    async def discard_child(self) -> int | None:
        """Kill the child if there is one, and wait for its end; its exit code."""
        self.kill_child()
        child, self.child = self.child, None
        if child is None:
            return None
        # Newer Pythons' wait() returns only once the pipes are read to their end.
        if child.stdout is not None:
            await child.stdout.read()
        exit_code = await child.wait()
        if self._stderr_task is not None:
            await self._stderr_task
        return exit_code

    async def _exit_code(self) -> int | None:
        """How a child that closed its pipes ended; killing it at once would hide the reason."""
        if self.child is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.child.wait(), 1)
        return await self.discard_child()

    async def _ask(self, request: RenderRequest) -> ChildReply:
        child = self.child
        if child is None or child.returncode is not None:
            self.child = child = await self._spawn()
        if child.stdin is None or child.stdout is None:
            raise EOFError
        child.stdin.write(frame(request))
        await child.stdin.drain()
        length = body_length(await child.stdout.readexactly(HEADER.size))
        return msgspec.msgpack.decode(await child.stdout.readexactly(length), type=ChildReply)

    async def _spawn(self) -> Process:
        config = ChildConfig(
            parent_pid=os.getpid(), model_path=self._model_path, limits=self._limits
        )
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # a module in the working directory must not shadow a library
            "-m",
            self._module,
            msgspec.json.encode(config).decode(),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env=_environment(),
            start_new_session=True,  # Ctrl-C in a terminal is for the worker, which drains first
            limit=1024 * 1024,
        )
        self._stderr_task = asyncio.create_task(_log_stderr(child))
        return child


async def _log_stderr(child: Process) -> None:
    """Log what the child writes, quoted: it may itself quote a hostile file."""
    while child.stderr is not None and (words := await child.stderr.read(4096)):
        log.warning("renderer child %d says %r", child.pid, words.decode(errors="replace"))


def _early_end(exit_code: int | None) -> RenderFailed:
    """Why a child ended without a reply. Whoever kills it from outside says nothing of the file."""
    if exit_code == -signal.SIGXCPU:
        return RenderFailed(RENDER_TIMEOUT)
    if exit_code is not None and -exit_code in NATIVE_CRASHES:
        log.error("renderer child ended by %s", signal.Signals(-exit_code).name)
        return NativeCrash(RENDER_CRASHED)
    return RenderFailed(RENDER_CRASHED)


def _environment() -> dict[str, str]:
    """Nothing secret, and one thread for each numeric library, whose buffers count as memory."""
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    return {
        **kept,
        "PYTHONPATH": str(PACKAGE_ROOT),
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "2",
    }


def _rendered(reply: ChildReply) -> Rendered:
    if reply.failure is not None:
        raise RenderFailed(reply.failure)
    if reply.rendered is None:
        raise RenderFailed(RENDER_CRASHED)
    return reply.rendered
