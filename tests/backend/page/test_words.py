"""What the page says is in one table, and in each language."""

import inspect
import itertools
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from backend.errors import AtelierError
from backend.failures.registry import DEFINITIONS, Noun, codes_of
from backend.imaging import generated, quality
from backend.page.files import STATIC
from backend.workflows.stages import StageName
from tests.backend.page.words import WORD_FILES, Word, english, literals, translations
from tests.page_types.api_document import api_document

ENGLISH = english()
LANGUAGES = translations()
MODULES = sorted({*STATIC.glob("*.js"), *STATIC.glob("views/*.js")} - {STATIC / "words.js"})

# Two words, or a capitalised one: a sentence or a label. CSS, HTTP, ids and addresses are not.
VISIBLE = re.compile(r"[A-Za-z’']{2,} [A-Za-z’']{2,}|^[A-Z][a-z’']+[.!?]?$")
NOT_VISIBLE = re.compile(
    r"repeat\(|\dfr\b|max-width|solid |var\(|^(Accept|Content-Type|Link|Authorization|ETag)$"
    r"|^(Escape|Enter|Home|End)$|^No response\.$"
)
# Methods and paths, scopes, and names of settings.
FOR_DEVELOPERS = re.compile(r"\b(GET|POST|PUT|PATCH|DELETE)\b|/v1|[a-z]_[a-z]|\bENGINES\b")
NOT_CALLED = "/v1/privacy/"  # by the page, unlike all else that takes a session token
CODE_OR_TAG = re.compile(r"\$\{.*\}?|<[^>]*>", re.DOTALL)


def forms(word: Word) -> list[str]:
    return [word] if isinstance(word, str) else list(word.values())


def placeholders(word: Word) -> set[str]:
    return {name for form in forms(word) for name in re.findall(r"\{(\w+)\}", form)}


def of_the_api() -> set[str]:
    """Keys that only other languages have: in English the API's own words are shown."""
    sources = [inspect.getsource(module) for module in (quality, generated)]
    reasons = {code for source in sources for code in re.findall(r'"([A-Z][A-Z_]+)"', source)}
    return {
        *(f"reason.{code}" for code in reasons),
        *(f"stage.{stage}" for stage in StageName),
        *(f"failure.{code}" for code in codes_of(*Noun)),
    }


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_language_has_the_same_keys(language: str) -> None:
    words = LANGUAGES[language].keys()
    assert words == ENGLISH.keys() | of_the_api()


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_text_has_the_same_placeholders_in_each_language(language: str) -> None:
    words = LANGUAGES[language]
    differ = {
        key
        for key in words.keys() & ENGLISH.keys()
        if placeholders(words[key]) != placeholders(ENGLISH[key])
    }
    assert differ == set()


@pytest.mark.parametrize("language", ["en", *LANGUAGES])
def test_no_text_is_empty_and_plurals_have_the_general_form(language: str) -> None:
    words = ENGLISH if language == "en" else LANGUAGES[language]
    assert all(form.strip() for word in words.values() for form in forms(word))
    assert all(
        "other" in word and "{count}" in word["other"]
        for word in words.values()
        if isinstance(word, dict)
    )


def test_words_js_names_the_languages_that_there_are() -> None:
    source = (STATIC / "words.js").read_text()
    [named] = re.findall(r"const LANGUAGES = \[(.*?)\]", source)
    assert re.findall(r'"(\w+)"', named) == list(LANGUAGES)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_a_module_contains_no_visible_text(module: Path) -> None:
    texts = [CODE_OR_TAG.sub("", text).strip() for text in literals(module)]
    found = [text for text in texts if VISIBLE.search(text) and not NOT_VISIBLE.search(text)]
    assert found == [], "put the text into words.js or words/"


def test_every_word_is_used() -> None:
    source = "".join(path.read_text() for path in (*MODULES, *WORD_FILES))
    assert unused(ENGLISH, source) == []


def unused(keys: Iterable[str], source: str) -> list[str]:
    """Keys that no literal has, whole or up to a placeholder."""
    return [
        key
        for key in keys
        if source.count(f'"{key}"') < (2 if key in ENGLISH else 1)
        and not any(f"`{key[: i + 1]}${{" in source for i, c in enumerate(key) if c == ".")
    ]


def test_each_error_that_the_page_can_get_has_a_text() -> None:
    """In English, and so in all languages, which have the same keys."""
    codes = error_codes(api_document())
    assert "STOREFRONT_JOB" in codes
    assert {code for code in codes if f"error.{code}" not in ENGLISH} == set()


@pytest.mark.parametrize("code", codes_of(*Noun))
def test_each_failure_has_a_text_for_merchants(code: str) -> None:
    """In English the API's own messages, unless they are for developers."""
    own = ENGLISH.get(f"failure.{code}")
    shown = [own] if own else DEFINITIONS[code].messages
    assert [text for text in shown if FOR_DEVELOPERS.search(str(text))] == []


def error_codes(document: dict[str, Any]) -> set[str]:
    """The codes of all errors that the page can get."""
    responses = [
        response
        for path, item in document["paths"].items()
        for operation in item.values()
        if not path.startswith(NOT_CALLED) and {"sessionToken": []} in operation["security"]
        for response in operation["responses"].values()
    ]
    lists = [
        part["properties"]["error"]["properties"]["code"]["enum"]
        for response in responses
        for body in response.get("content", {}).values()
        for part in body["schema"].get("allOf", ())
        if "properties" in part
    ]
    return {AtelierError.code, *itertools.chain.from_iterable(lists)}
