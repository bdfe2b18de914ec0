"""The child process: read a request, run it within limits, write the reply, until stdin ends.

`local` starts it and never imports it. Its environment has no credentials, so that a decoder
that is taken over by a crafted image finds nothing to steal.
"""

import ctypes
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from typing import BinaryIO

import msgspec

from backend.failures.codes import RENDER_CRASHED, RENDER_OUT_OF_MEMORY
from backend.renderers.base import Rendered, RenderFailed, RenderRequest
from backend.renderers.wire import (
    ChildConfig,
    ChildReply,
    RenderLimits,
    body_length,
    frame,
)

PR_SET_PDEATHSIG = 1
OUT_OF_MEMORY = ("out of memory", "bad_alloc", "failed to allocate", "can't start new thread")

RunStage = Callable[[RenderRequest], Rendered]


def main(stages_for: Callable[[ChildConfig], RunStage]) -> None:
    """Serve with what `stages_for` returns; it is called only once the limits hold."""
    config = msgspec.json.decode(sys.argv[1], type=ChildConfig)
    die_with_parent(config.parent_pid)
    requests, replies = private_pipes()
    limit_process(config.limits)
    serve_requests(requests, replies, stages_for(config), config.limits)


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill us when the parent dies; on other systems than Linux, stdin ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # it died before the call took effect
        os._exit(1)


def private_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Keep stdin and stdout for frames; a library that prints, prints to stderr."""
    requests = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    return requests, replies


def limit_process(limits: RenderLimits) -> None:
    """No core dumps (they hold the merchant's photo), no files written, a cap on memory."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (limits.memory_bytes, limits.memory_bytes))


def serve_requests(
    requests: BinaryIO, replies: BinaryIO, run: RunStage, limits: RenderLimits
) -> None:
    """Reply to every request in turn; return when the parent closes its end."""
    while header := requests.read(4):
        request = msgspec.msgpack.decode(requests.read(body_length(header)), type=RenderRequest)
        _limit_cpu(limits.cpu_seconds)
        replies.write(frame(_reply(request, run)))
        replies.flush()


def _limit_cpu(seconds: int) -> None:
    """SIGXCPU after this many more seconds; the limit counts from the process's start."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    used = int(usage.ru_utime + usage.ru_stime) + 1
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (used + seconds, hard))


def _reply(request: RenderRequest, run: RunStage) -> ChildReply:
    try:
        return ChildReply(rendered=run(request))
    except RenderFailed as failed:
        return ChildReply(failure=failed.failure)
    except MemoryError:
        return ChildReply(failure=RENDER_OUT_OF_MEMORY, spent=True)
    except Exception as error:
        if _is_out_of_memory(error):
            return ChildReply(failure=RENDER_OUT_OF_MEMORY, spent=True)
        traceback.print_exc()
        return ChildReply(failure=RENDER_CRASHED, spent=True)


def _is_out_of_memory(error: Exception) -> bool:
    """Native libraries, and threads that cannot start, tell it only in the message."""
    words = str(error).lower()
    return any(sign in words for sign in OUT_OF_MEMORY)


def _stages(config: ChildConfig) -> RunStage:
    # Imported this late so that the libraries' own threads and memory are limited too.
    from backend.renderers.stages import Stages  # noqa: PLC0415

    return Stages(config).run


if __name__ == "__main__":
    main(_stages)
