"""Workers that are forked, not started, and kill themselves at a step: two hundred cost little.

Run as a process of its own, it has everything imported. It reads one line of JSON for each worker,
forks it, and answers with a line once it has ended. The worker is the product's (`run_worker`), but
its local engine makes no pixels. A step is a commit, or a request to a provider: before it, after
it, and for a request also while it is under way.
"""

import asyncio
import json
import os
import random
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.logs import configure_logging
from backend.providers.engines import hosted_providers
from backend.renderers.base import Rendered, RenderRequest
from backend.renderers.files import file_of
from backend.renderers.local import LOCAL_STAGES
from backend.settings import Settings
from backend.storage.objects import ObjectStore
from backend.worker import run
from backend.workflows.stages import StageName

LONGEST_REQUEST = 0.02  # seconds that a request is under way before its sender is killed
SLOTS = 4


class PassingEngine:
    """Passes pictures on as they are, instead of painting and encoding them."""

    name = "passing"
    stages = LOCAL_STAGES

    def __init__(self, *_arguments: object) -> None:
        """Takes what `LocalRenderer` takes."""

    async def render(self, request: RenderRequest) -> Rendered:
        """The picture that the stage was given."""
        is_last = request.stage == StageName.ENCODE_GENERATED
        picture = file_of(
            name="picture",
            kind="picture",
            role="final" if is_last else "intermediate",
            label=None,
            content_type="image/png",
            data=next(iter(request.inputs.values())),
            meta={"width": 864, "height": 1296},
        )
        return Rendered(files=[picture], facts={})

    async def close(self) -> None:
        """Nothing to close."""


class Steps:
    """Counts the steps of this process, and kills it at one of them."""

    def __init__(self, kill_at: int, chance: random.Random) -> None:
        self.left = kill_at
        self.chance = chance

    def step(self, where: str) -> None:
        """Count one; the last one is the process's end."""
        self.left -= 1
        if self.left == 0:
            kill_here(where)

    def around(
        self, call: Callable[..., Awaitable[Any]], name: str, *, is_request: bool
    ) -> Callable[..., Awaitable[Any]]:
        """The call, with its steps."""

        async def stepped(*arguments: Any, **named: Any) -> Any:
            self.step(f"before {name}")
            if is_request and self.left == 1:
                asyncio.get_running_loop().call_later(
                    self.chance.uniform(0, LONGEST_REQUEST), kill_here, f"during {name}"
                )
            answer = await call(*arguments, **named)
            if is_request:
                self.step(f"during {name}")
            self.step(f"after {name}")
            return answer

        return stepped


def kill_here(where: str) -> None:
    """kill -9 of this process."""
    os.write(sys.stderr.fileno(), f"killed {where}\n".encode())
    os.kill(os.getpid(), signal.SIGKILL)


def live(kill_at: int, seed: int) -> None:
    """The life of one worker."""
    steps = Steps(kill_at, random.Random(seed))
    for owner, method, name in (
        (AsyncConnection, "commit", "a commit"),
        (httpx.AsyncClient, "send", "a request"),
    ):
        call = getattr(owner, method)
        setattr(owner, method, steps.around(call, name, is_request=name == "a request"))
    asyncio.run(run.run_worker(Settings.from_env(), slots=SLOTS))


def warm_up(settings: Settings) -> None:
    """Read what every worker would read anew: boto3's descriptions, and the certificates."""
    ObjectStore(settings)
    hosted_providers(settings, settings.chosen_engines)


def main() -> None:
    """Fork a worker for each line; SIGTERM ends the one that lives."""
    configure_logging()
    warm_up(Settings.from_env())
    vars(run)["LocalRenderer"] = PassingEngine
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            try:
                live(order["kill_at"], order["seed"])
            finally:
                os._exit(1)
        print(json.dumps({"pid": pid}), flush=True)
        _, status = os.waitpid(pid, 0)
        print(json.dumps({"signal": os.WTERMSIG(status)}), flush=True)


if __name__ == "__main__":
    main()
