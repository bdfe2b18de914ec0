"""The peer: what a good developer would write with rembg and Pillow, in one warm process.

The same net and the same weights, Pillow for the rest; the same sizes, formats and qualities, and
onnxruntime with its own defaults. It shares nothing with our code and runs in an environment of its
own. With `--all` it also writes the mask, the cut-out and the master as PNG, as our job does; with
`--matting` rembg refines the edge, with its own defaults.

Asked on stdin with four bytes of length and a JPEG, it answers on stdout with a line of JSON: the
seconds it took, the sizes of its files. `--masks` has the mask's PNG follow, with its length first.
"""

import contextlib
import io
import json
import struct
import sys
import time

from PIL import Image
from rembg import new_session, remove

SIZE, MARGIN, PAPER = 2048, 0.08, "#ffffff"
SMALL = 1024


def catalog(
    data: bytes, session: object, *, with_all: bool, matting: bool = False
) -> dict[str, bytes]:
    """The files, by name."""
    photo = Image.open(io.BytesIO(data))
    cutout = remove(photo, session=session, alpha_matting=matting)
    files = {}
    if with_all:
        files["mask"] = saved(cutout.getchannel("A"), "PNG", compress_level=1)
        files["cutout"] = saved(cutout, "PNG", compress_level=1)
    master = on_paper(cutout.crop(cutout.getbbox()))
    if with_all:
        files["master"] = saved(master, "PNG", compress_level=1)
    files["catalog-2048.jpg"] = saved(master, "JPEG", quality=88, subsampling=0, optimize=True)
    small = master.resize((SMALL, SMALL), Image.Resampling.LANCZOS)
    files["catalog-1024.webp"] = saved(small, "WEBP", quality=82, method=4)
    return files


def on_paper(product: Image.Image) -> Image.Image:
    """Centred on white, as large as the margin allows."""
    room = SIZE - 2 * round(SIZE * MARGIN)
    scale = min(room / product.width, room / product.height)
    size = (round(product.width * scale), round(product.height * scale))
    product = product.resize(size, Image.Resampling.LANCZOS)
    paper = Image.new("RGB", (SIZE, SIZE), PAPER)
    paper.paste(product, ((SIZE - product.width) // 2, (SIZE - product.height) // 2), product)
    return paper


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    """The encoded file."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def main() -> None:
    """Answer until stdin ends."""
    session = new_session("u2netp")
    with_all, masks = "--all" in sys.argv, "--masks" in sys.argv
    matting = "--matting" in sys.argv
    print("ready", flush=True)
    while header := sys.stdin.buffer.read(4):
        data = sys.stdin.buffer.read(struct.unpack(">I", header)[0])
        started = time.perf_counter()
        with contextlib.redirect_stdout(sys.stderr):  # the matting has warnings to print
            files = catalog(data, session, with_all=with_all or masks, matting=matting)
        seconds = time.perf_counter() - started
        sizes = {name: len(file) for name, file in files.items()}
        print(json.dumps({"seconds": seconds, "sizes": sizes}), flush=True)
        if masks:
            mask = files["mask"]
            sys.stdout.buffer.write(struct.pack(">I", len(mask)) + mask)
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
