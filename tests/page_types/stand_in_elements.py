"""Compares the stand-in's table of Polaris elements with the one that Shopify publishes.

`make pagetypes` runs it on the downloaded `@shopify/polaris-types`, which has no licence and so is
not in the repository.
"""

import json
import re
import sys
from typing import Any

from tests.source_tree import ROOT

POLARIS = ROOT / "backend/dev/shopify/page/polaris"
PUBLISHED = ROOT / ".page/node_modules/@shopify/polaris-types/dist"
# Slots that App Bridge documents for the title bar, and the types do not have.
ONLY_IN_APP_BRIDGE = {("s-page", "accessory")}

Table = dict[str, dict[str, Any]]


def main() -> None:
    """Print the differences; exit with 1 if there are any."""
    ours: Table = json.loads((POLARIS / "elements.json").read_text())
    manifest = json.loads((PUBLISHED / "custom-elements.json").read_text())
    icons = json.loads((POLARIS / "icons.json").read_text())
    types = (PUBLISHED / "polaris.d.ts").read_text()
    found = [*differences(ours, published_elements(manifest)), *unknown_icons(icons, types)]
    sys.exit("\n".join(found) or None)


def published_elements(manifest: dict[str, Any]) -> Table:
    """Attributes by name in lower case, slots and events of each element in the manifest."""
    return {
        element["tagName"]: {
            "attributes": {
                each["name"]: each.get("type", {}).get("text", "")
                for each in element.get("attributes", [])
            },
            "slots": {each["name"] for each in element.get("slots", [])},
            "events": {each["name"] for each in element.get("events", [])},
        }
        for module in manifest["modules"]
        for element in module.get("declarations", [])
        if "tagName" in element
    }


def differences(ours: Table, theirs: Table) -> list[str]:
    """What the stand-in has and Polaris has not, or has otherwise."""
    found = [f"<{tag}> is not in Polaris" for tag in ours if tag not in theirs]
    for tag, element in ours.items():
        published = theirs.get(tag)
        if published is None:
            continue
        found += attribute_differences(tag, element["attributes"], published["attributes"])
        for slot in set(element["slots"]) - published["slots"]:
            if (tag, slot) not in ONLY_IN_APP_BRIDGE:
                found.append(f'<{tag}> has no slot "{slot}" in Polaris')
        found += [
            f"<{tag}> has no event {name} in Polaris"
            for name in set(element["events"]) - published["events"]
        ]
    return found


def attribute_differences(tag: str, ours: dict[str, str], theirs: dict[str, str]) -> list[str]:
    """Attributes that Polaris does not have, or that are of another kind there."""
    found = []
    for name, kind in ours.items():
        published = theirs.get(name.lower())
        if published is None:
            found.append(f"<{tag}> has no attribute {name} in Polaris")
        elif not is_same_kind(kind, published):
            found.append(f"<{tag} {name}> is {kind}, and in Polaris {published}")
    return found


def is_same_kind(ours: str, theirs: str) -> bool:
    """Whether a kind of the table and a TypeScript type allow the same values."""
    choices = re.findall(r'"([^"]*)"', theirs)
    if "|" in ours:
        return set(ours.split("|")) == set(choices)
    if ours in {"boolean", "number"}:
        return theirs == ours
    if ours in {"string[]", "File[]"}:
        return ours in theirs
    return theirs not in {"boolean", "number"}  # a string of some shape


def unknown_icons(icons: dict[str, str], types: str) -> list[str]:
    """The icons of the stand-in that Polaris' types do not name."""
    [names] = re.findall(r"type IconType\$1 = (.*);", types)
    known = set(re.findall(r"'([^']+)'", names))
    return [f"There is no icon {name} in Polaris" for name in icons if name not in known]


if __name__ == "__main__":
    main()
