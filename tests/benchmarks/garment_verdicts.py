"""Verdicts on drawn pictures of worn garments: `python -m tests.benchmarks.garment_verdicts [OUT]`.

Each sample garment is worn rightly in six shots, and wrongly in many ways: see
`tests.backend.imaging.worn`. Prints each verdict with its figures, then the counts. A wrong picture
must never pass. With OUT, the pictures are kept there.
"""

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from backend.imaging.backdrop import lab
from backend.imaging.cutout import cut_out
from backend.imaging.decode import decode, harden_libvips
from backend.imaging.encode import encode_png
from backend.imaging.fit import Category
from backend.imaging.generated import GarmentComparison, GeneratedQuality, verdict_on_generated
from backend.imaging.likeness import compare_garment, is_unchanged
from backend.imaging.quality import Verdict
from backend.imaging.subject import SubjectNet, load_net
from tests.backend.imaging import worn
from tests.backend.imaging.conftest import MODEL, ROOT
from tests.backend.imaging.worn import CHANGES, SHOTS, Rgb, Rgba

GARMENTS: dict[str, Category] = {
    "tee_navy": "top",
    "tee_white": "top",
    "breton_long_sleeve": "top",
    "dress_floral": "dress",
}


class Case(NamedTuple):
    """What a picture shows of a garment; `is_right` if a merchant could use it."""

    garment: str
    what: str
    is_right: bool
    picture: Rgb


def main() -> None:
    """Draw, compare and count."""
    harden_libvips(threads=2)
    net = load_net(MODEL, threads=2)
    photos = {
        name: decode((ROOT / f"tests/data/garments/{name}.jpg").read_bytes()).rgb
        for name in GARMENTS
    }
    cutouts = {
        name: cut_out(decode((ROOT / f"tests/data/garments/{name}.jpg").read_bytes()), net).rgba
        for name in GARMENTS
    }
    counts: Counter[tuple[str, str]] = Counter()
    for case in cases(photos, cutouts):
        verdict, figures = judged(cutouts[case.garment], case.picture, net)
        codes = " ".join(reason.code for reason in verdict.reasons)
        kind = "right" if case.is_right else "wrong"
        counts[kind, verdict.verdict] += 1
        print(f"{case.garment:20} {kind} {case.what:26} {verdict.verdict:13} {codes}", flush=True)
        print(f"    {figures}")
        if len(sys.argv) > 1:
            name = f"{case.garment}-{case.what}.png".replace(" ", "-")
            (Path(sys.argv[1]) / name).write_bytes(encode_png(case.picture))
    for (kind, verdict_), count in sorted(counts.items()):
        print(kind, verdict_, count)


def cases(photos: dict[str, Rgb], cutouts: dict[str, Rgba]) -> Iterator[Case]:
    """Every garment: as it is in six shots, changed, another one, the photo itself, and nothing."""
    studio = SHOTS["studio"]
    for name, category in GARMENTS.items():
        for shot_name, shot in SHOTS.items():
            picture = worn.worn(cutouts[name], category, shot)
            yield Case(name, f"the same, {shot_name}", True, picture)
        for change_name, change in CHANGES.items():
            changed = change(cutouts[name])
            if is_visible(cutouts[name], changed):
                yield Case(name, change_name, False, worn.worn(changed, category, studio))
        for other, of_other in GARMENTS.items():
            if other != name:
                picture = worn.worn(cutouts[other], of_other, studio)
                yield Case(name, f"other: {other}", False, picture)
        yield Case(name, "the photo itself", False, photos[name])
        yield Case(name, "blank", False, np.full((800, 640, 3), 240, np.uint8))


def is_visible(garment: Rgba, changed: Rgba) -> bool:
    """A white garment has no hue to turn."""
    inside = garment[..., 3] > 200
    before, after = (
        lab(np.ascontiguousarray(each[..., :3]))[inside] for each in (garment, changed)
    )
    return float(np.linalg.norm(before - after, axis=-1).mean()) > 2


def judged(cutout: Rgba, picture: Rgb, net: SubjectNet | None) -> tuple[Verdict, str]:
    """As `encode_generated` judges it, if the cut-out is certain."""
    comparison = GarmentComparison(
        likeness=compare_garment(cutout, picture, net),
        is_unchanged=is_unchanged(cutout, picture),
        is_certain=True,
    )
    quality = GeneratedQuality(scale=1, upscaled=False, aspect=1.25, comparison=comparison)
    return verdict_on_generated(quality), str(comparison.likeness)


if __name__ == "__main__":
    main()
