"""The words of `words.js` and `words/`, and the string literals of the page, without a browser."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from backend.page.files import STATIC

Word = str | dict[str, str]

# A comment, a regular expression after an opening sign, or one kind of literal.
TOKEN = re.compile(
    r"""//[^\n]*|/\*.*?\*/|(?<=[=(,:\[])\s*/(?![/*])(?:\\.|\[(?:\\.|[^\]])*\]|[^/\n])+/"""
    r"""|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`""",
    re.DOTALL,
)


WORD_FILES = [STATIC / "words.js", *sorted(STATIC.glob("words/*.js"))]


def english() -> dict[str, Word]:
    """The tables of all files. Fails if two have the same key."""
    words: dict[str, Word] = {}
    for path in WORD_FILES:
        table = words_of(path)
        assert not words.keys() & table.keys(), path
        words |= table
    return words


def words_of(path: Path) -> dict[str, Word]:
    """The file's table, which is JSON but for its commas, breaks and unquoted names."""
    source = path.read_text()
    table = source.partition(" = /** @type {const} */ (")[2].partition("\n});")[0] + "\n}"
    table = re.sub(r"(?<=[{,])(\s*)(one|two|few|many|zero|other):", r'\1"\2":', table)
    words: dict[str, Word] = json.loads(re.sub(r",(\s*})", r"\1", table))
    return words


def translations() -> dict[str, dict[str, Word]]:
    """Each language's words."""
    files = sorted((STATIC / "locale").glob("*.json"))
    return {path.stem: json.loads(path.read_text()) for path in files}


def literals(path: Path) -> Iterator[str]:
    """The texts between quotes in a module; of a template, also its placeholders' code."""
    for token in TOKEN.findall(path.read_text()):
        if token[0] in "\"'`":
            yield token[1:-1]
