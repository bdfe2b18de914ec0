"""Shopify's search syntax, as far as the stand-in goes: `key:value` terms that all must hold.

Values may be quoted and dates compared with `>`, `>=`, `<` and `<=`; a word without a key is looked
for in the title or the file name. A key that is not known is refused, whereas Shopify ignores it
with a warning: a filter that silently matches everything would be a poor stand-in.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as Keys
from datetime import UTC, datetime
from typing import TypeVar

from backend.dev.shopify.refusals import error

Row = TypeVar("Row")
Value = str | datetime | tuple[str, ...]

_TERM = re.compile(
    r"""(?:(?P<key>[a-z_]+):)?(?P<sign>>=|<=|>|<)?(?P<value>"[^"]*"|'[^']*'|[^\s"']+)"""
)
_COMPARISONS: dict[str, Callable[[datetime, datetime], bool]] = {
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    "": lambda left, right: left == right,
}


def search_rows(
    rows: Iterable[Row],
    query: str | None,
    facts: Callable[[Row], Mapping[str, Value]],
    keys: Keys[str],
) -> list[Row]:
    """The rows of whose facts every term holds; `default` is what words without a key look in.

    `keys` are the facts there are. Raises a top-level error for a query that cannot be read.
    """
    terms = [term for term in _TERM.finditer(query or "") if term["value"] != "AND"]
    for term in terms:
        if (term["key"] or "default") not in keys:
            raise error(f"Stand-in: no search by '{term['key']}'", "BAD_REQUEST")
    return [row for row in rows if all(_holds(term, facts(row)) for term in terms)]


def _holds(term: "re.Match[str]", facts: Mapping[str, Value]) -> bool:
    key = term["key"] or "default"
    wanted = term["value"].strip("\"'")
    fact = facts[key]
    if isinstance(fact, datetime):
        return _COMPARISONS[term["sign"] or ""](fact, _moment(wanted))
    values = fact if isinstance(fact, tuple) else (fact,)
    if key == "default":
        return any(wanted.lower() in value.lower() for value in values)
    return any(_same(wanted, value) for value in values)


def _same(wanted: str, value: str) -> bool:
    """Equal but for case; a `*` at the end stands for any rest."""
    wanted, value = wanted.lower(), value.lower()
    return value.startswith(wanted[:-1]) if wanted.endswith("*") else value == wanted


def _moment(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise error(f"Invalid date '{text}'", "BAD_REQUEST") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
