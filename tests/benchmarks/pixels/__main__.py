"""`make pixels`: ours and the peer at the same photos, in turn; the last line is one JSON object.

Rounds are interleaved, so that a machine that drifts drifts for both, and a ratio is the median of
the photos' ratios over all rounds. Edges are judged on composites whose true alpha is known, at the
size at which our work is done (2048 px), in the whole picture and within 6 px of the true outline.
"""

import argparse
import json
import statistics
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyvips
from numpy.typing import NDArray

from backend.imaging import filters
from backend.imaging.decode import WORK_SIDE
from tests.benchmarks.pixels import scenes
from tests.benchmarks.pixels.engines import (
    COMMANDS,
    PEER_PYTHON,
    PICTURES_PER_SLOT,
    SLOTS,
    Engine,
    Taken,
)
from tests.benchmarks.running import turned

Runs = dict[tuple[str, str], list[Taken]]


def main() -> int:
    """Measure and print."""
    asked = arguments()
    if set(asked.work) != {"throughput"} and not PEER_PYTHON.exists():
        raise SystemExit("The peer is not installed: make pixels")
    figures: dict[str, object] = {"rounds": asked.rounds}
    if "speed" in asked.work:
        figures |= speed(asked)
    if "throughput" in asked.work:
        figures |= throughput(asked)
    if "edges" in asked.work:
        figures |= edges(asked)
    print(json.dumps(figures))
    return 0


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="make pixels", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sizes", nargs="+", choices=scenes.SIZES, default=list(scenes.SIZES))
    works = ["speed", "throughput", "edges"]
    parser.add_argument("--work", nargs="+", choices=works, default=works)
    parser.add_argument(
        "--baseline", type=Path, help="another checkout of this project: its throughput, in turn"
    )
    parser.add_argument(
        "--peers",
        nargs="+",
        choices=[name for name in COMMANDS if name != "ours"],
        default=["peer", "peer_finals"],
        help="`peer_matting` takes a minute and more for a picture",
    )
    parser.add_argument("--verbose", action="store_true")
    return parser.parse_args()


def speed(asked: argparse.Namespace) -> dict[str, object]:
    """Every engine at every sample photo, in turn, so often; a first round to get warm."""
    engines = [Engine(name) for name in ("ours", *asked.peers)]
    figures: dict[str, object] = {
        f"{engine.name}.seconds_to_start": round(engine.seconds_to_start, 2) for engine in engines
    }
    for size in asked.sizes:
        photos = list(scenes.garments(size))
        runs: Runs = defaultdict(list)
        for number in range(asked.rounds + 1):
            for photo in photos:
                for engine in turned(engines, number):
                    taken = engine.make(photo.jpeg)
                    if asked.verbose:
                        print(size, number, photo.name, engine.name, taken, file=sys.stderr)
                    if number:
                        runs[size, engine.name].append(taken)
        figures |= compared(runs, size, asked.peers)
    for engine in engines:
        engine.close()
    return figures


def compared(runs: Runs, size: str, peers: list[str]) -> dict[str, object]:
    """Medians, and ratios photo by photo."""
    figures: dict[str, object] = {}
    for other in peers:
        pairs = list(zip(runs[size, "ours"], runs[size, other], strict=True))
        for what in ("wall", "cpu", "memory_mb"):
            ratio = statistics.median(getattr(a, what) / getattr(b, what) for a, b in pairs)
            figures[f"{size}.{what}_vs_{other}"] = round(ratio, 2)
    for name in ("ours", *peers):
        for what in ("wall", "cpu", "memory_mb"):
            found = statistics.median(getattr(taken, what) for taken in runs[size, name])
            figures[f"{size}.{what}.{name}"] = round(found, 2)
    return figures


def throughput(asked: argparse.Namespace) -> dict[str, object]:
    """Pictures a minute of 1.8 MP, with two slots; the baseline's too, in turn with ours."""
    checkouts = {"ours": None} | ({"baseline": asked.baseline} if asked.baseline else {})
    options = ("--slots", str(SLOTS), str(PICTURES_PER_SLOT))
    engines = [Engine("ours", *options, checkout=root) for root in checkouts.values()]
    runs: list[list[Taken]] = [[] for _ in engines]
    for number in range(asked.rounds + 1):
        for photo in scenes.garments("1.8 MP"):
            for engine, found in turned(list(zip(engines, runs, strict=True)), number):
                taken = engine.make(photo.jpeg)
                if asked.verbose:
                    print(number, photo.name, engine.checkout, taken, file=sys.stderr)
                if number:
                    found.append(taken)
    for engine in engines:
        engine.close()
    pictures = SLOTS * PICTURES_PER_SLOT
    figures: dict[str, object] = {}
    for name, found in zip(checkouts, runs, strict=True):
        wall, cpu = (statistics.median(getattr(t, what) for t in found) for what in ("wall", "cpu"))
        figures[f"pictures_a_minute.{name}"] = round(60 * pictures / wall, 1)
        figures[f"cpu_seconds_a_picture.{name}"] = round(cpu / pictures, 2)
    if asked.baseline:
        for what in ("wall", "cpu"):
            pairs = zip(runs[1], runs[0], strict=True)
            ratio = statistics.median(getattr(a, what) / getattr(b, what) for a, b in pairs)
            figures[f"throughput_vs_baseline.{what}"] = round(ratio, 2)
    return figures


def edges(asked: argparse.Namespace) -> dict[str, object]:
    """How far each alpha is from the truth, in the mean of all composites."""
    peers = [name for name in asked.peers if name != "peer_finals"]  # it has the mask of `peer`
    engines = [Engine(name, masks=True) for name in ("ours", *peers)]
    figures: dict[str, object] = {}
    for size in asked.sizes:
        errors: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for photo in scenes.composites(size):
            assert photo.alpha is not None
            truth = (photo.alpha * 255 + 0.5).astype(np.uint8)
            for engine in engines:
                found = error(engine.mask(photo.jpeg), truth)
                errors[engine.name].append(found)
                if asked.verbose:
                    print(size, photo.name, engine.name, *found, file=sys.stderr)
        for name, found_all in errors.items():
            whole, band = np.array(found_all).T
            figures[f"{size}.alpha_error.{name}"] = round(float(whole.mean()), 5)
            figures[f"{size}.alpha_error_at_edge.{name}"] = round(float(band.mean()), 4)
            figures[f"{size}.alpha_error_at_edge_median.{name}"] = round(float(np.median(band)), 4)
        ours = np.array(errors["ours"])[:, 1]
        for name in peers:
            better = int((ours <= np.array(errors[name])[:, 1]).sum())
            figures[f"{size}.better_edges_than_{name}"] = f"{better} of {len(ours)}"
    for engine in engines:
        engine.close()
    return figures


def error(mask: NDArray[np.uint8], truth: NDArray[np.uint8]) -> tuple[float, float]:
    """Mean absolute error of an alpha: in the whole picture, and in a band along the outline."""
    height, width = truth.shape
    scale = min(1.0, WORK_SIDE / max(height, width))
    size = round(height * scale), round(width * scale)
    wanted, found = fitted(truth, size), fitted(mask, size)
    band = filters.dilate((wanted > 0) & (wanted < 1), 6)
    off = np.abs(found - wanted)
    return float(off.mean()), float(off[band].mean())


def fitted(alpha: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.float64]:
    """The alpha in 0..1 in that height and width."""
    image = pyvips.Image.new_from_array(np.ascontiguousarray(alpha))
    if (image.height, image.width) != size:
        image = image.thumbnail_image(size[1], height=size[0], size="force")
    return np.asarray(image.numpy() / 255)


if __name__ == "__main__":
    sys.exit(main())
