"""The child process: read a request, run it within limits, write the answer, until stdin ends.

Started by `local` and never imported by it. Its environment comes empty of credentials, so that a
decoder that is taken over by a crafted image finds nothing to steal.
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
from backend.renderers.wire import Answer, ChildConfig, RenderLimits, body_length, frame

PR_SET_PDEATHSIG = 1

Work = Callable[[RenderRequest], Rendered]


def main(work_for: Callable[[ChildConfig], Work]) -> None:
    """Serve with what `work_for` makes, called only once the limits hold."""
    config = msgspec.json.decode(sys.argv[1], type=ChildConfig)
    die_with_parent(config.parent_pid)
    requests, answers = private_pipes()
    limit_process(config.limits)
    serve(requests, answers, work_for(config), config.limits)


def die_with_parent(parent_pid: int) -> None:
    """Ask the kernel for SIGKILL when the parent goes; stdin's end covers everything but Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # it went before the kernel knew our wish
        os._exit(1)


def private_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Keep stdin and stdout for frames; a library that prints writes to stderr instead."""
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    return requests, answers


def limit_process(limits: RenderLimits) -> None:
    """No core dumps (they hold the merchant's photo), no files written, a cap on memory."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (limits.memory_bytes, limits.memory_bytes))


def serve(requests: BinaryIO, answers: BinaryIO, work: Work, limits: RenderLimits) -> None:
    """Answer every request in turn; return when the parent closes its end."""
    while header := requests.read(4):
        request = msgspec.msgpack.decode(requests.read(body_length(header)), type=RenderRequest)
        _limit_cpu(limits.cpu_seconds)
        answers.write(frame(_answer(request, work)))
        answers.flush()


def _limit_cpu(seconds: int) -> None:
    """SIGXCPU after this many more seconds; the limit counts from the process's start."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    used = int(usage.ru_utime + usage.ru_stime) + 1
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (used + seconds, hard))


def _answer(request: RenderRequest, work: Work) -> Answer:
    try:
        return Answer(rendered=work(request))
    except RenderFailed as failed:
        return Answer(failure=failed.failure)
    except MemoryError:
        return Answer(failure=RENDER_OUT_OF_MEMORY, spent=True)
    except Exception as error:
        if _is_out_of_memory(error):
            return Answer(failure=RENDER_OUT_OF_MEMORY, spent=True)
        traceback.print_exc()
        return Answer(failure=RENDER_CRASHED, spent=True)


def _is_out_of_memory(error: Exception) -> bool:
    """Native libraries report a failed allocation in words."""
    words = str(error).lower()
    return any(sign in words for sign in ("out of memory", "bad_alloc", "failed to allocate"))


def _stages(config: ChildConfig) -> Work:
    # Imported this late so that the libraries' own threads and memory are under the limits too.
    from backend.renderers.stages import Stages  # noqa: PLC0415

    return Stages(config).run


if __name__ == "__main__":
    main(_stages)
