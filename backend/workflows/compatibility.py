"""Whether garments can be worn together, and whether a workflow takes them.

The rules are in `garment_categories.json`; here they are only applied.
"""

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import msgspec

from backend.workflows.garments import CATEGORIES, GARMENT_RULES, CategoryName
from backend.workflows.people import ModelFraming


class Conflict(msgspec.Struct, frozen=True, kw_only=True):
    """Why garments do not go together; `garments` are the categories it is about."""

    code: Literal["SAME_PLACE", "NOT_TAKEN", "TOO_MANY_GARMENTS", "NEEDS_FULL_BODY"]
    garments: tuple[CategoryName, ...]
    message: str


def conflicts_of(
    garments: Sequence[str], workflow: str | None = None, framing: ModelFraming | None = None
) -> list[Conflict]:
    """Everything that speaks against it, in a stable order; empty if nothing does.

    `garments` are names of categories, each as often as it is worn. Without a `workflow` or a
    `framing` what depends on it is not checked.
    """
    return [
        *worn_in_the_same_place(garments),
        *(not_taken(garments, workflow) if workflow else ()),
        *(cut_off(garments, framing) if framing else ()),
    ]


def worn_in_the_same_place(garments: Sequence[str]) -> Iterator[Conflict]:
    """Pairs of garments of which a person wears only one."""
    for one, other in itertools.combinations(garments, 2):
        first, second = CATEGORIES[one], CATEGORIES[other]
        if first.layer == second.layer and set(first.covers) & set(second.covers):
            yield Conflict(
                code="SAME_PLACE",
                garments=(one, other),
                message=f"A {first.noun} and a {second.noun} cannot be worn together."
                if one != other
                else f"Only one {first.noun} can be worn.",
            )


def not_taken(garments: Sequence[str], workflow: str) -> Iterator[Conflict]:
    """Garments that the workflow does not take, or more than it takes."""
    rules = GARMENT_RULES.workflows[workflow]
    for name in dict.fromkeys(garments):
        if name not in rules.takes:
            message = f"{workflow} does not take a {CATEGORIES[name].noun}."
            yield Conflict(code="NOT_TAKEN", garments=(name,), message=message)
    if len(garments) > rules.most_garments:
        message = f"{workflow} takes at most {rules.most_garments} at once."
        yield Conflict(code="TOO_MANY_GARMENTS", garments=tuple(garments), message=message)


def cut_off(garments: Iterable[str], framing: ModelFraming) -> Iterator[Conflict]:
    """Garments that a model must be shown from head to toe for."""
    for name in dict.fromkeys(garments):
        if CATEGORIES[name].needs_full_body and framing != "full_body":
            message = f"A {CATEGORIES[name].noun} needs a model who is shown from head to toe."
            yield Conflict(code="NEEDS_FULL_BODY", garments=(name,), message=message)


def category_for(workflow: str, product_type: str, tags: Iterable[str]) -> CategoryName | None:
    """The guessed category, unless the workflow has rules and does not take it."""
    rules = GARMENT_RULES.workflows.get(workflow)
    guess = guessed_category(product_type, tags)
    return guess if rules is None or guess in rules.takes else None


def guessed_category(product_type: str, tags: Iterable[str] = ()) -> CategoryName | None:
    """The category that the product's type names, or its tags if the type names none.

    None if they name no category or several: a wrong guess costs a picture. The last word counts
    most in a type: a shirt dress is a dress, and a dress shirt is a shirt.
    """
    words = words_of(product_type)
    for word in reversed(words):
        if found := categories_named(word):
            return found.pop() if len(found) == 1 else None
    named = {name for tag in tags for name in categories_named(tag)}
    return named.pop() if len(named) == 1 else None


def categories_named(text: str) -> set[str]:
    """The categories that have one of the text's words, also in the plural or in a compound."""
    forms = {form for word in words_of(text) for form in (word, *singulars(word))}
    return {
        name
        for name, category in CATEGORIES.items()
        if category.words & forms
        or any(form.endswith(known) for form in forms for known in category.words_in_compounds)
    }


def words_of(text: str) -> list[str]:
    """The words in lower case; a hyphen joins, as in T-shirt."""
    return re.findall(r"[^\W\d_]+(?:-[^\W\d_]+)*", text.casefold())


def singulars(word: str) -> Iterator[str]:
    """What the word can be the plural of, in English or German."""
    for ending in ("es", "s", "en", "n", "er", "e"):
        if word.endswith(ending):
            yield word.removesuffix(ending)
