"""Ours: the worker's part of a job's stages and its children, without database and storage.

Speaks as `peer` does. The stages are the workflow's own, and every file they make is sent back from
the child as in a job. With `--slots 2 3` two slots make each photo three times side by side; the
seconds are those of all six.
"""

import asyncio
import json
import struct
import sys
import time

from backend.renderers.local import LocalRenderer
from backend.settings import MODEL_PATH
from backend.worker.run import render_limits
from backend.workflows.catalog_image import CATALOG_IMAGE
from tests.backend.renderers.stage_runs import JobRun, run


async def main() -> None:
    """Answer until stdin ends."""
    masks = "--masks" in sys.argv
    at = sys.argv.index("--slots") if "--slots" in sys.argv else None
    slots, times = map(int, sys.argv[at + 1 : at + 3]) if at else (1, 1)
    renderer = LocalRenderer(MODEL_PATH, slots, render_limits(slots))

    async def slot(data: bytes) -> JobRun:
        for _ in range(times):
            made = await run(renderer, CATALOG_IMAGE, JobRun(data={"source": data}))
        return made

    print("ready", flush=True)
    while header := sys.stdin.buffer.read(4):
        data = sys.stdin.buffer.read(struct.unpack(">I", header)[0])
        started = time.perf_counter()
        bench, *_ = await asyncio.gather(*(slot(data) for _ in range(slots)))
        seconds = time.perf_counter() - started
        sizes = {name: len(file.data) for name, file in bench.made.items()}
        print(json.dumps({"seconds": seconds, "sizes": sizes}), flush=True)
        if masks:
            mask = bench.made["mask"].data
            sys.stdout.buffer.write(struct.pack(">I", len(mask)) + mask)
            sys.stdout.buffer.flush()
    await renderer.close()


if __name__ == "__main__":
    asyncio.run(main())
