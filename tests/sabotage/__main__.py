"""`make sabotage`: break each control by one line, and see the test that is named for it turn red.

A patch in `patches/` begins with lines that name its threat, what it breaks and its tests; what
follows is an ordinary diff. It is applied to a copy of the tree, never to the tree itself. A
mutation that stays green is a missing test; a patch that does not apply any more has to be cut
anew. Either ends the run with an error, after all others have had their turn.

    python -m tests.sabotage            all of them
    python -m tests.sabotage T-13 T-28  those whose name begins like that
"""

import argparse
import contextlib
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PATCHES = Path(__file__).parent / "patches"
SIDE_BY_SIDE = 2
LONGEST = 300  # seconds for the tests of one mutation
TEST = re.compile(r"^Test: (.+)$", re.MULTILINE)
BREAKS = re.compile(r"^Breaks: (.+)$", re.MULTILINE)
FAILED = re.compile(r"^(\d+ \w+, )*\d+ failed\b", re.MULTILINE)  # pytest's last line


@dataclass(frozen=True)
class Mutation:
    """One patch."""

    file: Path
    breaks: str
    tests: list[str]

    @property
    def name(self) -> str:
        """Such as `T-13-no-sid`."""
        return self.file.stem


def mutations(wanted: list[str]) -> list[Mutation]:
    """Those whose names begin like one of the words, or all."""
    return [
        Mutation(file, "".join(BREAKS.findall(text)), TEST.findall(text))
        for file in sorted(PATCHES.glob("*.patch"))
        if not wanted or file.name.startswith(tuple(wanted))
        for text in [file.read_text()]
    ]


@contextlib.contextmanager
def copy_of_the_tree() -> Iterator[Path]:
    """The files that git knows of, as they are now, in a folder of their own."""
    with tempfile.TemporaryDirectory(prefix="atelier-sabotage-") as folder:
        copy = Path(folder)
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        for name in filter(None, listed.stdout.split("\0")):
            if (ROOT / name).is_file():
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, copy / name)
        for shared in (".models",):  # weights, and nobody changes them
            if (ROOT / shared).exists() and not (copy / shared).exists():
                (copy / shared).symlink_to((ROOT / shared).resolve())
        yield copy


def patch(copy: Path, mutation: Mutation, *how: str) -> bool:
    """Apply the patch to the copy, or take it back."""
    command = ["git", "apply", *how, str(mutation.file)]
    return subprocess.run(command, cwd=copy, capture_output=True, check=False).returncode == 0


def run_tests(copy: Path, tests: list[str], *how: str, longest: float = LONGEST) -> tuple[int, str]:
    """pytest's exit code and what it said; -1 if it ran for more than `longest` seconds."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *how, *tests]
    env = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        run = subprocess.run(
            command, cwd=copy, env=env, capture_output=True, text=True, timeout=longest, check=False
        )
    except subprocess.TimeoutExpired:
        return -1, "took too long"
    return run.returncode, run.stdout


def verdict(copy: Path, mutation: Mutation) -> str:
    """`red`, or what is wrong with the mutation or with its tests."""
    if not mutation.tests:
        return "NO TEST NAMED"
    if not patch(copy, mutation):
        return "DOES NOT APPLY"
    try:
        code, said = run_tests(copy, mutation.tests)
    finally:
        taken_back = patch(copy, mutation, "--reverse")
    if not taken_back:
        raise RuntimeError(f"{mutation.name} could not be taken back")
    if code == 0:
        return "GREEN"
    # An error while collecting or setting up would be red for any reason or none.
    return "red" if code == 1 and FAILED.search(said) else f"BROKEN ({code}): {said[-300:]}"


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.sabotage",
        description="Break each control by one line, and check that its test fails.",
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="how the names of patches begin; all if none is given",
    )
    return parser.parse_args()


def main(wanted: list[str]) -> int:
    """How many did not turn red."""
    chosen = mutations(wanted)
    if not chosen:
        print(f"No patch in {PATCHES} has a name that begins like {wanted}.", file=sys.stderr)
        return 1
    started = time.monotonic()
    copies: queue.SimpleQueue[Path] = queue.SimpleQueue()
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        for _ in range(SIDE_BY_SIDE):
            copies.put(stack.enter_context(copy_of_the_tree()))

        def judged(mutation: Mutation) -> str:
            copy = copies.get()
            try:
                return verdict(copy, mutation)
            finally:
                copies.put(copy)

        named = sorted({test for mutation in chosen for test in mutation.tests})
        copy = copies.get()
        print(f"{len(chosen)} mutations; first their {len(named)} tests without them", flush=True)
        code, said = run_tests(copy, named, "-n", str(SIDE_BY_SIDE), longest=LONGEST * len(named))
        copies.put(copy)
        if code != 0:
            print(said, file=sys.stderr)
            print("The tests are not green to begin with, so nothing can turn red.")
            return 1
        bad = 0
        for mutation, ended in zip(chosen, pool.map(judged, chosen), strict=True):
            bad += ended != "red"
            print(f"{ended:<6} {mutation.name:<34} {mutation.breaks}", flush=True)
            for test in mutation.tests:
                print(f"       {test}", flush=True)
    seconds = time.monotonic() - started
    print(f"{len(chosen) - bad} of {len(chosen)} mutations turned red in {seconds:.0f} s")
    return bad


if __name__ == "__main__":
    sys.exit(min(main(arguments().names), 1))
