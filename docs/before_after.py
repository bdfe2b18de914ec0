"""Make the README's picture: each sample garment as it came in, and as Atelier gave it back.

Runs the real thing: a signed webhook a garment, the worker's pictures, downloads by presigned URL.
Usage: `make picture`.
"""

import asyncio
from pathlib import Path

import httpx
import pyvips
from rich.console import Console

from backend.dev.demo import watched_job
from backend.dev.stack import GARMENTS, local_stack

NAMES = ("tee_navy", "tee_white", "dress_floral", "breton_long_sleeve")
TILE = 300  # pixels
GAP = 12  # pixels
OUTPUT = Path(__file__).with_name("before_after.jpg")


async def made(names: tuple[str, ...]) -> list[bytes]:
    """The WebP of each garment's finished job."""
    async with local_stack() as stack, httpx.AsyncClient() as http:
        await stack.install()
        pictures = []
        for name in names:
            _, public_id = await stack.make_demo_job(name)
            detail = await watched_job(stack, public_id, Console(stderr=True))
            print(name, detail.status, detail.result[-1].meta["verdict"])
            pictures.append((await http.get(detail.result[-1].image_url)).content)
        return pictures


def tile(data: bytes) -> pyvips.Image:
    """A picture fitted into a tile."""
    small = pyvips.Image.thumbnail_buffer(data, TILE, height=TILE)
    return small.gravity("centre", TILE, TILE, extend="white")


def main() -> None:
    """Two rows: before above, after below."""
    before = [(GARMENTS / f"{name}.jpg").read_bytes() for name in NAMES]
    after = asyncio.run(made(NAMES))
    tiles = [tile(data) for data in before + after]
    sheet = pyvips.Image.arrayjoin(tiles, across=len(NAMES), shim=GAP, background=[225, 225, 225])
    sheet.jpegsave(str(OUTPUT), Q=85, keep="none")


if __name__ == "__main__":
    main()
