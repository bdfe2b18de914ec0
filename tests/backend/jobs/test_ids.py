"""Public ids: well-formed, ordered by time, and hard to guess."""

import itertools
import time

import pytest

from backend.jobs.ids import ALPHABET, IMPOSSIBLE, is_public_id, new_public_id


def number(public_id: str) -> int:
    """The 128 bits of an id."""
    value = 0
    for character in public_id:
        value = value * 32 + ALPHABET.index(character)
    return value


def test_an_id_starts_with_48_bits_of_time() -> None:
    before = int(time.time() * 1000)
    drawn = number(new_public_id()) >> 80
    assert before <= drawn <= int(time.time() * 1000)


def test_ids_of_one_millisecond_are_far_apart() -> None:
    numbers = sorted(number(new_public_id()) for _ in range(20_000))
    same = [
        after - before
        for before, after in itertools.pairwise(numbers)
        if before >> 80 == after >> 80
    ]
    assert len(same) > 1_000
    assert min(same) > 2**40


def test_generated_ids_are_recognised() -> None:
    assert all(is_public_id(new_public_id()) for _ in range(100))
    assert is_public_id(IMPOSSIBLE)


@pytest.mark.parametrize(
    "text",
    ["", "0" * 25, "0" * 27, "8" + "0" * 25, "i" * 26, "I" * 26, "0" * 25 + "\n", "é" * 26],
)
def test_malformed_ids_are_rejected(text: str) -> None:
    assert not is_public_id(text)
