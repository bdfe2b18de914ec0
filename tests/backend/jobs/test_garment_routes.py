"""The categories of garments, and the guess of a product's category, over HTTP."""

from typing import Any

import pytest

from tests.running_app import RunningApp
from tests.scenarios import open_shared_app

shared_app = pytest.fixture(open_shared_app, scope="module")


async def categories(app: RunningApp, **words: str) -> Any:
    """The answer to a merchant who sends these words of a product."""
    return await app.http.get("/v1/garment-categories", params=words, headers=app.bearer())


@pytest.mark.parametrize(
    ("words", "guess"),
    [
        ({}, None),
        ({"product_type": "Evening dresses"}, "dress"),
        ({"product_type": "Gifts", "tags": "new,Sneakers"}, "shoes"),
        ({"product_type": "Gifts", "tags": "Hat,Sneakers"}, None),
    ],
)
async def test_a_products_words_are_a_guess_if_they_name_one_category(
    shared_app: RunningApp, words: dict[str, str], guess: str | None
) -> None:
    assert (await categories(shared_app, **words)).json()["guess"] == guess


@pytest.mark.parametrize("words", [{"type": "Dress"}, {"product_type": "x" * 256}])
async def test_unknown_or_long_words_are_refused(
    shared_app: RunningApp, words: dict[str, str]
) -> None:
    answer = await categories(shared_app, **words)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "INVALID_REQUEST")
