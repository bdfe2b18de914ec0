"""How far a verdict can be trusted: `python -m tests.benchmarks.verdicts OUT [PHOTO…]`.

Draws photos whose true alpha is known, cuts them out with the net and says which passed and which
of those are right: at least 0.985 of the outline's area agrees (intersection over union). Photos
that are given by name are cut out too, and judged by eye: OUT/pass.png and OUT/review.png show
each photo beside its cut-out on magenta.
"""

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyvips
from numpy.typing import NDArray

from backend.imaging.coarse import SubjectNotFound
from backend.imaging.cutout import cut_out
from backend.imaging.decode import DecodedImage, decode, harden_libvips
from backend.imaging.formats import ImageRefused
from backend.imaging.quality import Verdict, verdict_on
from backend.imaging.subject import load_net
from tests.backend.imaging import files, products
from tests.backend.imaging.conftest import MODEL
from tests.backend.imaging.outline_errors import overlap
from tests.backend.imaging.products import (
    BLACK,
    GOLD,
    NAVY,
    PAPERS,
    RED,
    SILVER,
    TEAL,
    Extra,
    Photo,
    Setting,
    disc,
    photo,
    slab,
)

RIGHT = 0.985
TILE = 300
MAGENTA = np.array([255, 0, 255])
PRODUCTS = {
    "mug": (products.mug, (RED, NAVY, TEAL, BLACK)),
    "bag": (products.bag, (NAVY, RED, SILVER)),
    "watch": (products.watch, (BLACK, RED)),
    "ring": (products.ring, (GOLD, SILVER)),
    "necklace": (products.necklace, (GOLD,)),
}


class Drawn(NamedTuple):
    name: str
    data: bytes
    alpha: products.Floats | None


def main() -> None:
    """Draw, cut out and count."""
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    harden_libvips(threads=2)
    net = load_net(MODEL, threads=2)
    tiles: dict[str, list[NDArray[np.uint8]]] = {"pass": [], "needs_review": []}
    right = 0
    for name, data, alpha in [*drawn(), *given(sys.argv[2:])]:
        try:
            picture = decode(data)
            cutout = cut_out(picture, net)
        except (ImageRefused, SubjectNotFound) as error:
            print(f"{name:32} {type(error).__name__}")
            continue
        verdict = verdict_on(cutout.quality)
        agreed = None if alpha is None else overlap(cutout.mask, alpha)
        right += verdict.verdict == "pass" and agreed is not None and agreed >= RIGHT
        print(line(name, verdict, agreed), flush=True)
        tiles[verdict.verdict].append(tile(picture, cutout.rgba))
    save(tiles["pass"], out / "pass.png")
    save(tiles["needs_review"], out / "review.png")
    print({verdict: len(each) for verdict, each in tiles.items()}, f"drawn, passed, right: {right}")


def drawn() -> Iterator[Drawn]:
    """Products on papers, then what goes wrong on real photos."""
    for name, (shape, colours) in PRODUCTS.items():
        for number, (paper, colour) in enumerate(PAPERS.items()):
            setting = Setting(paper=colour, shadow=0.25 if paper == "white" else 0.42)
            yield jpeg(f"{name} on {paper}", photo(shape, colours[number % len(colours)], setting))
    for name, odd in odd_photos().items():
        yield jpeg(name, odd)
    mug = photo(products.mug, RED, Setting(shadow=0.3))
    for quality in (10, 20, 30, 50, 75):
        yield Drawn(f"mug, JPEG quality {quality}", mug.jpeg(quality), mug.alpha)
    yield Drawn("alpha 254", mug.png(254), mug.alpha)
    yield Drawn("finished cut-out", mug.png(np.round(255 * mug.alpha)), mug.alpha)


def jpeg(name: str, taken: Photo) -> Drawn:
    return Drawn(name, taken.jpeg(), taken.alpha)


def odd_photos() -> dict[str, Photo]:
    """Low contrast, reflections, second items, badges, screenshots, wood and tables."""
    mug, bottle, bag = products.mug, products.bottle, products.bag
    small = partial(mug, size=0.25, at=(570, 500))
    half = partial(mug, size=0.6, at=(150, 300)), partial(mug, size=0.6, at=(470, 300))
    button = Extra(slab(330, 560, 280, 25), (20, 130, 60))
    bar = Extra(slab(330, 15, 330, 25), (20, 20, 20))
    heart = Extra(disc(600, 60, 22), RED)
    white = Setting(shadow=0.2)
    grey = Setting(paper=PAPERS["grey"], shadow=0.3)

    def having(setting: Setting, *extras: Extra) -> Setting:
        return Setting(paper=setting.paper, shadow=setting.shadow, extras=extras)

    return {
        "black on black": photo(mug, (22, 22, 24), Setting(paper=(16, 16, 18), texture=0.03)),
        "black on dark": photo(mug, (22, 22, 24), Setting(paper=PAPERS["dark"], texture=0.03)),
        "white on white": photo(mug, (247, 247, 247), Setting(paper=(238, 238, 236), texture=0.02)),
        "white on grey": photo(mug, (245, 245, 245), grey),
        "clear glass": photo(bottle, (200, 206, 208), Setting(paper=(206, 208, 211), texture=0.02)),
        "reflection on white": photo(bottle, TEAL, Setting(reflection=0.45)),
        "reflection on grey": photo(bottle, RED, Setting(paper=PAPERS["grey"], reflection=0.35)),
        "faint reflection": photo(bottle, BLACK, Setting(reflection=0.2)),
        "second item": photo(mug, RED, having(white, Extra(small, NAVY))),
        "pen beside it": photo(mug, BLACK, having(grey, Extra(slab(590, 300, 5, 200), SILVER))),
        "pair": photo(half[0], RED, having(white, Extra(half[1], NAVY, is_product=True))),
        "badge beside it": photo(mug, TEAL, having(white, Extra(disc(590, 70, 45), RED))),
        "badge on the mug": photo(mug, TEAL, having(white, Extra(disc(420, 170, 60), RED))),
        "badge on the bag": photo(bag, NAVY, having(grey, Extra(disc(480, 300, 55), GOLD))),
        "label on the bag": photo(
            bag, NAVY, having(grey, Extra(disc(330, 400, 55), GOLD, is_product=True))
        ),
        "screenshot, bars": photo(mug, TEAL, having(white, button, bar)),
        "screenshot, heart": photo(mug, TEAL, having(white, heart)),
        "planks, mug": photo(mug, RED, Setting((190, 150, 110), surface=products.planks())),
        "planks, bag": photo(bag, TEAL, Setting((210, 190, 160), 0.3, surface=products.planks())),
        "table edge": photo(mug, RED, Setting((200, 190, 180), 0.3, surface=products.table_edge())),
    }


def given(paths: list[str]) -> Iterator[Drawn]:
    for path in map(Path, paths):
        yield Drawn(path.stem[:32], path.read_bytes(), None)


def line(name: str, verdict: Verdict, agreed: float | None) -> str:
    codes = " ".join(reason.code for reason in verdict.reasons)
    return f"{name:32} {verdict.verdict:12} {'' if agreed is None else f'{agreed:.4f}':8} {codes}"


def tile(picture: DecodedImage, rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The photo, and its cut-out on magenta."""
    alpha = rgba[..., 3:] / 255
    cut = (rgba[..., :3] * alpha + MAGENTA * (1 - alpha)).astype(np.uint8)
    both = [files.srgb(pixels).thumbnail_image(TILE, height=TILE) for pixels in (picture.rgb, cut)]
    return np.hstack([each.gravity("centre", TILE, TILE).numpy() for each in both])


def save(tiles: list[NDArray[np.uint8]], path: Path) -> None:
    """Four to a row."""
    blank = np.zeros((TILE, 2 * TILE, 3), dtype=np.uint8)
    rows = [tiles[at : at + 4] for at in range(0, len(tiles), 4)]
    full = [np.hstack([*row, *[blank] * (4 - len(row))]) for row in rows]
    pyvips.Image.new_from_array(np.vstack(full)).write_to_file(str(path))


if __name__ == "__main__":
    main()
