"""A child that does what a hostile image might make ours do; only tests name this module."""

import ctypes
import os
import signal
import time
from pathlib import Path

from backend.renderers.base import Rendered, RenderRequest
from backend.renderers.child import RunStage, main
from backend.renderers.wire import ChildConfig


def misbehave(request: RenderRequest) -> Rendered:
    match request.stage:
        case "hang":
            time.sleep(600)
        case "spin":
            while True:
                pass
        case "hog":
            hoard = [bytearray(16 * 1024**2) for _ in range(4096)]
            return Rendered(files=[], facts={"hoarded": len(hoard)})
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "crash":
            ctypes.string_at(0)
        case "raise":
            raise RuntimeError("a bug")
        case "native-hog":
            raise RuntimeError("onnxruntime: std::bad_alloc")
        case "chatter":
            os.write(1, b"\x00\x00\x00\x02{}")
            print("a library greets", flush=True)
        case "lie-about-length":
            os.write(_answers(), b"\xff\xff\xff\xff")
            time.sleep(600)
        case "write-a-file":
            _fill_file(request.params["path"])
    return Rendered(files=[], facts=request.params)


def _answers() -> int:
    """The descriptor of the answers, which `private_pipes` duplicated second."""
    return 4


def _fill_file(path: str) -> None:
    Path(path).write_bytes(b"x" * 100)


def _work(_: ChildConfig) -> RunStage:
    return misbehave


if __name__ == "__main__":
    main(_work)
