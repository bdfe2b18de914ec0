"""Which garments go together, and which category a product has."""

from typing import Any

import pytest

from backend.workflows import BY_NAME
from backend.workflows.compatibility import conflicts_of, guessed_category
from backend.workflows.garments import CATEGORIES, GARMENT_RULES


def codes(*asked: Any) -> list[str]:
    """The codes of what speaks against it."""
    return [conflict.code for conflict in conflicts_of(*asked)]


@pytest.mark.parametrize(
    ("garments", "expected"),
    [
        (["top", "bottom", "outerwear", "shoes", "headwear", "bag"], []),
        (["top", "top"], ["SAME_PLACE"]),
        (["top", "dress"], ["SAME_PLACE"]),
        (["dress", "bottom", "top"], ["SAME_PLACE", "SAME_PLACE"]),
        (["dress", "outerwear", "accessory", "accessory"], []),
        (["outerwear", "outerwear"], ["SAME_PLACE"]),
    ],
)
def test_one_garment_is_worn_in_each_place_and_layer(
    garments: list[str], expected: list[str]
) -> None:
    assert codes(garments) == expected


def test_a_workflow_says_what_it_takes_and_how_much() -> None:
    assert codes(["top"], "try-on") == []
    assert codes(["shoes", "bag"], "try-on") == ["NOT_TAKEN", "NOT_TAKEN", "TOO_MANY_GARMENTS"]
    assert codes(["top", "bottom", "shoes", "bag"], "look") == []
    five = ["top", "bottom", "shoes", "bag", "headwear"]
    assert codes(five, "look") == ["TOO_MANY_GARMENTS"]


def test_what_covers_the_legs_or_feet_needs_the_whole_model() -> None:
    assert codes(["top", "shoes"], None, "upper_body") == ["NEEDS_FULL_BODY"]
    assert codes(["dress"], "try-on", "three_quarter") == ["NEEDS_FULL_BODY"]
    assert codes(["top", "shoes"], None, "full_body") == []


def test_reasons_name_the_garments_in_words() -> None:
    [reason] = conflicts_of(["dress", "bottom"])
    assert reason.garments == ("dress", "bottom")
    assert reason.message == (
        "A dress and a pair of trousers, shorts or skirt cannot be worn together."
    )


@pytest.mark.parametrize("name", GARMENT_RULES.workflows)
def test_the_rules_are_about_workflows_that_exist(name: str) -> None:
    assert name in BY_NAME


def test_no_word_names_two_categories() -> None:
    words = [word for category in CATEGORIES.values() for word in category.words]
    assert len(words) == len({*words})
    assert all(word == word.casefold() for word in words)


@pytest.mark.parametrize(
    ("product_type", "tags", "expected"),
    [
        ("T-Shirts", [], "top"),
        ("Dress Shirts", [], "top"),
        ("Shirt dress", [], "dress"),
        ("Apparel & Accessories > Clothing > Dresses", [], "dress"),
        ("Women's Jeans", [], "bottom"),
        ("Kleider", [], "dress"),
        ("Damenjacken", [], "outerwear"),
        ("Undershirt", [], "top"),
        ("Watches", [], "accessory"),
        ("Mützen", [], "headwear"),
        ("", ["summer", "Skirts"], "bottom"),
        ("Clothing", ["sneakers", "new-in"], "shoes"),
        ("", ["dress", "shoes"], None),
        ("Laptop", [], None),
        ("Candle", ["gift"], None),
        ("", [], None),
    ],
)
def test_a_category_is_guessed_from_the_products_type_and_then_its_tags(
    product_type: str, tags: list[str], expected: str | None
) -> None:
    assert guessed_category(product_type, tags) == expected
