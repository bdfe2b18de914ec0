"""The real child, except that one picture makes its native code crash; only tests name it."""

import ctypes

from backend.renderers.base import Rendered, RenderRequest
from backend.renderers.child import RunStage, main
from backend.renderers.stages import Stages
from backend.renderers.wire import ChildConfig
from backend.workflows.stages import StageFile

DEADLY = b"deadly"


def stages(config: ChildConfig) -> RunStage:
    real = Stages(config)

    def run(request: RenderRequest) -> Rendered:
        if request.inputs[StageFile.SOURCE] == DEADLY:
            ctypes.string_at(0)
        return real.run(request)

    return run


if __name__ == "__main__":
    main(stages)
