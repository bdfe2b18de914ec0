"""Writes `.page/api.d.ts`, the API's types for the page's code."""

from pathlib import Path

from tests.page_types.api_document import api_document
from tests.page_types.api_types import api_types
from tests.source_tree import ROOT

TARGET = ROOT / ".page" / "api.d.ts"


def main(target: Path = TARGET) -> None:
    """Write the types."""
    document = api_document()
    target.parent.mkdir(exist_ok=True)
    target.write_text(api_types(document))


if __name__ == "__main__":
    main()
