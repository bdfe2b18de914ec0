"""The categories of garments, what can be worn together, and which workflow takes what.

All rules are in `garment_categories.json`. A category's `words` are how product types and tags name
it.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

SHORTEST_IN_COMPOUNDS = 5  # letters


class CategoryRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A kind of garment. Two that cover the same part in the same layer exclude each other."""

    name: str
    title: str  # of several, for people
    noun: str  # of one, for prompts
    covers: tuple[Literal["head", "torso", "legs", "feet", "hand"], ...]
    layer: Literal["base", "outer"]
    needs_full_body: bool  # a model who is shown from head to toe
    words: frozenset[str]

    @property
    def words_in_compounds(self) -> frozenset[str]:
        """The words that end a longer one, as in `undershirt`; a laptop is no top."""
        return frozenset(word for word in self.words if len(word) >= SHORTEST_IN_COMPOUNDS)


class Takes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a workflow takes: of these categories at most so many garments at once."""

    takes: tuple[str, ...]
    most_garments: int


class GarmentRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The data file. Raises `msgspec.ValidationError` if a workflow names an unknown category."""

    categories: tuple[CategoryRules, ...]
    workflows: dict[str, Takes]

    def __post_init__(self) -> None:
        names = {each.name for each in self.categories}
        for workflow, takes in self.workflows.items():
            if unknown := set(takes.takes) - names:
                raise ValueError(f"{workflow} takes unknown categories: {sorted(unknown)}.")


GARMENT_RULES = msgspec.json.decode(
    Path(__file__).with_name("garment_categories.json").read_bytes(), type=GarmentRules
)
CATEGORIES = {each.name: each for each in GARMENT_RULES.categories}

if TYPE_CHECKING:
    CategoryName = str
    WearableCategory = str
else:
    CategoryName = Literal[tuple(CATEGORIES)]
    WearableCategory = Literal[GARMENT_RULES.workflows["try-on"].takes]
