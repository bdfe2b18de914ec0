"""The comparison of the stand-in's elements with Shopify's, which `make pagetypes` makes."""

from tests.page_types.stand_in_elements import differences, unknown_icons

PUBLISHED = {
    "s-badge": {
        "attributes": {"tone": '"auto" | "info"', "accessibilitylabel": "string", "max": "number"},
        "slots": {""},
        "events": {"dismiss"},
    }
}


def table(attributes: dict[str, str], **more: object) -> dict[str, dict[str, object]]:
    return {"s-badge": {"attributes": attributes, "slots": {}, "events": [], **more}}


def test_a_table_that_agrees_has_no_differences() -> None:
    kinds = {"tone": "info|auto", "accessibilityLabel": "string", "max": "number"}
    assert differences(table(kinds, slots={"": "*"}, events=["dismiss"]), PUBLISHED) == []


def test_each_difference_is_named() -> None:
    wrong = table({"tone": "auto|happy", "colour": "string", "max": "string"}, events=["close"])
    wrong["s-card"] = {"attributes": {}, "slots": {}, "events": []}
    wrong["s-badge"]["slots"] = {"aside": "*"}
    found = "\n".join(differences(wrong, PUBLISHED))
    for expected in (
        "<s-card> is not in Polaris",
        "<s-badge tone> is auto|happy",
        "no attribute colour",
        "<s-badge max> is string",
        'no slot "aside"',
        "no event close",
    ):
        assert expected in found


def test_an_unknown_icon_is_named() -> None:
    types = "type IconType$1 = 'plus' | 'x';"
    assert unknown_icons({"plus": "+", "unicorn": "?"}, types) == [
        "There is no icon unicorn in Polaris"
    ]
