"""Strict JSON: what is refused, how it is named, and what is let through."""

import codecs
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.batches.requests import checked_parameters
from backend.batches.schemas import BatchRequest
from backend.body import MAX_JSON_DEPTH, decode_strictly
from backend.errors import BadRequest, InvalidRequest
from backend.jobs.storefront import storefront_request
from backend.publications.schemas import PublicationRequest
from backend.rules.schemas import SettingsRequest
from backend.workflows import BY_NAME, FOR_MANY_PRODUCTS, WORKFLOWS

CatalogImage = BY_NAME["catalog-image"].request
ProductToModelDirect = BY_NAME["product-to-model-direct"].request
BackgroundSwapWithSpec = BY_NAME["background-swap-with-spec"].request
MESSAGE = "Object contains unknown field `" + "x" * 200
GOOD = {"product_id": "gid://shopify/Product/1"}
CATALOG_BATCH = {"workflow": "catalog-image"}


def findings(body: Any, kind: type[msgspec.Struct] = CatalogImage) -> list[tuple[list[Any], str]]:
    """Where and what is wrong with a body."""
    with pytest.raises(InvalidRequest) as caught:
        decode_strictly(json.dumps(body).encode(), kind)
    return [(item["loc"], item["msg"]) for item in caught.value.detail]


@pytest.mark.parametrize(
    ("body", "kind", "loc"),
    [
        ({**GOOD, "colour": 1}, CatalogImage, ["body", "colour"]),
        ({**GOOD, "margin": "0.1"}, CatalogImage, ["body", "margin"]),
        ({**GOOD, "margin": 0.5}, CatalogImage, ["body", "margin"]),
        ({**GOOD, "background": "#FFFFFF"}, CatalogImage, ["body", "background"]),
        ({**GOOD, "background": "#ffffff\n"}, CatalogImage, ["body", "background"]),
        ({**GOOD, "shadow": "hard"}, CatalogImage, ["body", "shadow"]),
        ({**GOOD, "outputs": []}, CatalogImage, ["body", "outputs"]),
        (
            {**GOOD, "outputs": [{"size": 1024, "format": "jpeg"}, {"size": 1, "format": "jpeg"}]},
            CatalogImage,
            ["body", "outputs", 1, "size"],
        ),
        (
            {**GOOD, "outputs": [{"size": 1024, "format": "gif"}]},
            CatalogImage,
            ["body", "outputs", 0, "format"],
        ),
        (
            {**GOOD, "outputs": [{"size": 1024}]},
            CatalogImage,
            ["body", "outputs", 0, "format"],
        ),
        ({"upload_key": "../etc"}, CatalogImage, ["body", "upload_key"]),
        ({"product_id": "gid://shopify/Order/1"}, CatalogImage, ["body", "product_id"]),
        ({**GOOD, "category": "hat"}, ProductToModelDirect, ["body", "category"]),
        (
            {**GOOD, "scene_type": "wall", "dominant_colors": ["red"]},
            BackgroundSwapWithSpec,
            ["body", "dominant_colors", 0],
        ),
        ([], CatalogImage, ["body"]),
        (None, CatalogImage, ["body"]),
    ],
)
def test_an_invalid_value_is_reported_with_its_location(
    body: Any, kind: type[msgspec.Struct], loc: list[Any]
) -> None:
    assert [place for place, _ in findings(body, kind)] == [loc]


@pytest.mark.parametrize("size", ["1024.0", "1024.000", "1.024e3", "102400E-2"])
def test_a_whole_number_is_an_integer_however_it_is_written(size: str) -> None:
    raw = json.dumps({**GOOD, "outputs": [{"size": "SIZE", "format": "jpeg"}]})
    body: Any = decode_strictly(raw.replace('"SIZE"', size).encode(), CatalogImage)
    assert repr(body.outputs[0].size) == "1024"


@pytest.mark.parametrize("size", ["1024.5", "1e-400", "1e300", '"1024.0"', "true"])
def test_any_other_number_is_no_integer(size: str) -> None:
    raw = json.dumps({**GOOD, "outputs": [{"size": "SIZE", "format": "jpeg"}]})
    with pytest.raises(InvalidRequest) as caught:
        decode_strictly(raw.replace('"SIZE"', size).encode(), CatalogImage)
    assert [each["loc"] for each in caught.value.detail] == [["body", "outputs", 0, "size"]]


def test_a_whole_number_in_a_batchs_parameters_is_an_integer() -> None:
    raw = b'{"workflow":"catalog-image","parameters":{"outputs":[{"size":512.0,"format":"webp"}]}}'
    batch: Any = decode_strictly(raw, BatchRequest)
    checked: Any = checked_parameters(BY_NAME["catalog-image"], batch.parameters)
    assert checked.outputs[0].size == 512


def test_a_fraction_may_be_a_whole_number() -> None:
    body: Any = decode_strictly(
        b'{"product_id":"gid://shopify/Product/1","margin":0}', CatalogImage
    )
    assert body.margin == 0


def test_a_byte_order_mark_is_ignored() -> None:
    raw = codecs.BOM_UTF8 + json.dumps(GOOD).encode()
    assert decode_strictly(raw, CatalogImage) == decode_strictly(raw[3:], CatalogImage)
    for encoding in ("utf-16", "utf-32"):
        with pytest.raises(BadRequest):
            decode_strictly(json.dumps(GOOD).encode(encoding), CatalogImage)


@pytest.mark.parametrize("number", ["00", "01", "00042", "", "-1", "1" * 21, "1.0"])
def test_a_shopify_id_has_no_leading_zeros(number: str) -> None:
    wrong: list[tuple[dict[str, Any], Any, list[Any]]] = [
        ({"product_id": f"gid://shopify/Product/{number}"}, CatalogImage, ["product_id"]),
        ({"media_id": f"gid://shopify/MediaImage/{number}"}, CatalogImage, ["media_id"]),
        (
            {**CATALOG_BATCH, "collection_id": f"gid://shopify/Collection/{number}"},
            BatchRequest,
            ["collection_id"],
        ),
        (
            {**CATALOG_BATCH, "product_ids": [f"gid://shopify/Product/{number}"]},
            BatchRequest,
            ["product_ids", 0],
        ),
        (
            {"artifacts": [{"sha256": "0" * 64}], "product_id": f"gid://shopify/Product/{number}"},
            PublicationRequest,
            ["product_id"],
        ),
        (
            {"category": "dress", "product_id": f"gid://shopify/Product/{number}"},
            storefront_request(BY_NAME["product-to-model-direct"]),
            ["product_id"],
        ),
    ]
    for body, kind, place in wrong:
        assert [loc for loc, _ in findings(body, kind)] == [["body", *place]]


def test_the_message_lists_the_allowed_values() -> None:
    wrong = {**GOOD, "outputs": [{"size": 512, "format": "{{ liquid }}"}]}
    assert findings(wrong)[0][1] == "Expected one of avif, jpeg, webp"
    shadow = {**GOOD, "shadow": "x" * 100_000}
    assert findings(shadow)[0][1] == "Expected one of contact, none"
    assert findings({"x" * 100_000: 1}) == [(["body", "x" * 64], MESSAGE[:200])]
    assert findings({**GOOD, "margin": 0.5})[0][1] == "Expected `float` <= 0.4"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b'{"margin": NaN}',
        b'{"margin": ' + b"9" * 5000 + b"}",
        b'{"background": "\xff"}',
        b'{"margin": 0.1, "margin": 0.2}',
        b'{"product_id": "gid://shopify/Product/1", "product\\u005fid": "x"}',
        b'{"outputs": [{"size": 256, "size": 512, "format": "jpeg"}]}',
        b'\xef\xbb\xbf\xef\xbb\xbf{"margin": 0.1}',
        "{}".encode("utf-16"),
    ],
)
def test_invalid_or_duplicate_json_is_a_bad_request(raw: bytes) -> None:
    with pytest.raises(BadRequest):
        decode_strictly(raw, CatalogImage)


def test_nesting_is_limited_but_brackets_in_strings_are_not_counted() -> None:
    deep = b'{"x": ' + b"[" * MAX_JSON_DEPTH + b"]" * MAX_JSON_DEPTH + b"}"
    with pytest.raises(BadRequest, match="nested"):
        decode_strictly(deep, CatalogImage)
    with pytest.raises(BadRequest, match="nested"):
        decode_strictly(b"[" * 250_000, CatalogImage)
    allowed = {**GOOD, "x": "[" * 100 + '"' + "\\"}
    assert findings(allowed) == [(["body", "x"], "Object contains unknown field `x`")]


def test_every_choice_is_listed_for_an_invalid_value() -> None:
    told = 0
    for workflow in WORKFLOWS.values():
        for kind in (workflow.request, storefront_request(workflow)):
            schema = msgspec.json.schema(kind)["$defs"][kind.__name__]["properties"]
            for name, about in schema.items():
                for enum in enums_of(about):
                    loc, message = findings({name: "nothing of the sort"}, kind)[0]
                    assert loc == ["body", name]
                    assert message == f"Expected one of {', '.join(sorted(enum))}"
                    told += 1
    assert told > 2 * len(WORKFLOWS)


def enums_of(schema: dict[str, Any]) -> list[list[str]]:
    """The choices of a field, which may also be null."""
    return [each["enum"] for each in (schema, *schema.get("anyOf", ())) if "enum" in each]


def test_a_choice_is_listed_at_any_depth() -> None:
    def message(rule: dict[str, Any]) -> str:
        return findings({"rules": [rule]}, SettingsRequest)[0][1]

    names = ", ".join(workflow.name for workflow in FOR_MANY_PRODUCTS)
    assert sorted(message({"workflow": "paint"}).removeprefix("Expected one of ").split(", ")) == (
        sorted(names.split(", "))
    )
    statuses = {"workflow": "catalog-image", "filter": {"statuses": ["SOLD"]}}
    assert message(statuses) == "Expected one of ACTIVE, ARCHIVED, DRAFT, UNLISTED"
    mood = {"workflow": "background-swap-with-spec", "parameters": {"scene_type": "attic"}}
    assert message(mood) == "Expected one of spotlight, studio, tabletop, wall"


@given(st.binary(max_size=300))
def test_random_bytes_raise_only_our_own_errors(raw: bytes) -> None:
    for kind in (workflow.request for workflow in WORKFLOWS.values()):
        with pytest.raises((BadRequest, InvalidRequest)):
            decode_strictly(raw, kind)


def test_a_valid_body_becomes_its_struct_with_defaults() -> None:
    assert decode_strictly(json.dumps(GOOD).encode(), CatalogImage) == CatalogImage(
        product_id="gid://shopify/Product/1"
    )


def test_text_that_postgres_cannot_store_is_reported() -> None:
    artifacts = [{"sha256": "0" * 64}, {"sha256": "1" * 64, "alt": "nul: \0"}]
    [(loc, _)] = findings({"artifacts": artifacts}, PublicationRequest)
    assert loc == ["body", "artifacts", 1, "alt"]
    [(loc, _)] = findings({"of": {"a\0": 1}}, AnyObject)
    assert loc == ["body", "of"]
    kept = {"artifacts": [{"sha256": "0" * 64, "alt": "\\u0000 \u0001 \U0001f600"}]}
    assert decode_strictly(json.dumps(kept).encode(), PublicationRequest)


class AnyObject(msgspec.Struct):
    """A body with names that the sender chooses."""

    of: dict[str, int]
