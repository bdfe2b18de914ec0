"""Files of the stand-in: created, processed, read, changed and deleted, over HTTP."""

from collections.abc import AsyncIterator

import httpx
import pytest

from tests.backend.dev.calls import (
    CREATE,
    GARMENT,
    OTHER_SHOP,
    POLL,
    SHOP,
    UPDATE,
    ask,
    created,
    exchange,
    png,
    ready,
    uploaded,
)

pytestmark = pytest.mark.slow

CREATE_ALL = """
mutation Create($files: [FileCreateInput!]!) {
  fileCreate(files: $files) {
    files { ...Everything }
    userErrors { code field message }
  }
}
fragment Everything on MediaImage {
  id alt fileStatus status mimeType createdAt updatedAt
  image { url width height } preview { status image { url } }
  fileErrors { code message details } mediaErrors { code message details }
  originalSource { url fileSize }
}
"""
DELETE = """
mutation Delete($ids: [ID!]!) {
  fileDelete(fileIds: $ids) { deletedFileIds userErrors { code field message } }
}
"""
FILES = """
query Files($query: String, $first: Int = 10) {
  files(first: $first, query: $query) { nodes { id fileStatus ... on MediaImage { alt } } }
}
"""


# What becomes of a file


async def test_a_file_is_uploaded_then_processing_then_ready(app):
    source = await uploaded(app)
    fields = {"originalSource": source, "contentType": "IMAGE", "alt": "A tee"}
    payload = await app.data(CREATE_ALL, files=[fields])
    (file,) = payload["files"]
    assert (file["fileStatus"], file["status"], file["alt"]) == ("UPLOADED", "UPLOADED", "A tee")
    assert (file["image"], file["mimeType"], file["originalSource"]) == (None, None, None)
    first = await app.data(POLL, id=file["id"])
    assert (first["fileStatus"], first["image"]) == ("PROCESSING", None)
    second = await app.data(POLL, id=file["id"])
    assert (second["fileStatus"], second["mimeType"]) == ("READY", "image/jpeg")
    assert (second["image"]["width"], second["image"]["height"]) == (1200, 1500)
    served = await app.client.get(second["image"]["url"])
    assert served.content == GARMENT.read_bytes()


async def test_a_held_file_advances_only_by_hand(shopify, app, monkeypatch):
    monkeypatch.setattr(shopify.platform, "is_held", True)
    gid = await created(app)
    for expected in ("UPLOADED", "PROCESSING", "READY", "READY"):
        for _ in range(3):
            assert (await app.data(POLL, id=gid))["fileStatus"] == expected
        await shopify.step_files()


async def test_the_cdn_serves_a_file_only_once_it_is_ready(shopify, app):
    gid = await created(app)
    url = shopify.platform.catalogue.media(shopify.platform.shops[SHOP].number, gid).url
    assert (await app.client.get(url)).status_code == 404
    await shopify.step_files(2)
    assert (await app.client.get(url)).status_code == 200


async def test_a_slow_file_takes_the_configured_number_of_polls(shopify, app, monkeypatch):
    monkeypatch.setattr(shopify.platform, "steps_to_finish", 5)
    gid = await created(app)
    seen = [(await app.data(POLL, id=gid))["fileStatus"] for _ in range(5)]
    assert seen == ["PROCESSING"] * 4 + ["READY"]


async def test_a_throttled_poll_does_not_advance_a_file(shopify, app):
    gid = await created(app)
    shopify.throttle_next()
    await app.answer(POLL, id=gid)
    assert (await app.data(POLL, id=gid))["fileStatus"] == "PROCESSING"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "UNSUPPORTED_IMAGE_FILE_TYPE"),
        (b"", "UNSUPPORTED_IMAGE_FILE_TYPE"),
        (b"\0\0\0\x20ftypavif" + b"\0" * 32, "UNSUPPORTED_IMAGE_FILE_TYPE"),
        (GARMENT.read_bytes()[:20], "IMAGE_PROCESSING_FAILURE"),
        (png(0, 10), "IMAGE_PROCESSING_FAILURE"),
        (png(5001, 5000), "INVALID_IMAGE_RESOLUTION"),
        (png(5000, 5000), None),
        (png(10, 10, size=20_000_000), None),
    ],
)
async def test_an_unsupported_file_fails_with_a_reason(shopify, app, content, code):
    gid = await created(app, content)
    await shopify.step_files(2)
    file = await app.data(POLL, id=gid)
    assert file["fileStatus"] == ("FAILED" if code else "READY")
    assert [error["code"] for error in file["fileErrors"]] == ([code] if code else [])
    assert (file["image"] is None) == bool(code)


async def test_a_file_can_be_ordered_to_fail(shopify, app):
    shopify.fail_next_file("MEDIA_TIMEOUT_ERROR")
    first, second = await created(app), await created(app)
    await shopify.step_files(2)
    assert (await app.data(POLL, id=first))["fileErrors"] == [{"code": "MEDIA_TIMEOUT_ERROR"}]
    assert (await app.data(POLL, id=second))["fileStatus"] == "READY"


# External sources


async def test_an_external_image_is_fetched_after_the_mutation(app, internet):
    url = "https://bucket.example/a/final.png?X-Amz-Signature=0"
    payload = await app.data(CREATE, files=[{"originalSource": url}])
    internet[url] = httpx.Response(200, content=png(30, 40))
    await app.data(POLL, id=payload["files"][0]["id"])
    file = await app.data(POLL, id=payload["files"][0]["id"])
    assert (file["fileStatus"], file["image"]["width"], file["mimeType"]) == (
        "READY",
        30,
        "image/png",
    )
    assert "/final.png?v=" in file["image"]["url"]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (None, "IMAGE_DOWNLOAD_FAILURE"),
        (httpx.Response(403), "IMAGE_DOWNLOAD_FAILURE"),
        (httpx.Response(302, headers={"Location": "/x"}), "IMAGE_DOWNLOAD_FAILURE"),
        (httpx.Response(200, content=b"x" * 20_000_001), "INVALID_IMAGE_FILE_SIZE"),
    ],
    ids=["unreachable", "forbidden", "redirected", "too large"],
)
async def test_an_unavailable_external_image_fails(app, internet, answer, code):
    url = "https://bucket.example/final.png"
    if answer is not None:
        internet[url] = answer
    payload = await app.data(CREATE, files=[{"originalSource": url}])
    await app.data(POLL, id=payload["files"][0]["id"])
    file = await app.data(POLL, id=payload["files"][0]["id"])
    assert (file["fileStatus"], file["fileErrors"]) == ("FAILED", [{"code": code}])


async def test_an_endless_external_image_is_not_fetched_completely(app, internet):
    taken = []

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            taken.append(1)
            yield b"x" * 1_000_000

    url = "https://bucket.example/final.png"
    internet[url] = httpx.Response(200, content=endless())
    payload = await app.data(CREATE, files=[{"originalSource": url}])
    await app.data(POLL, id=payload["files"][0]["id"])
    assert len(taken) <= 22


# What cannot be created


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"originalSource": "http://bucket.example/a.jpg"}, "INVALID_IMAGE_SOURCE_URL"),
        ({"originalSource": "https://bucket.example:8443/a.jpg"}, "INVALID_IMAGE_SOURCE_URL"),
        ({"originalSource": "https://"}, "INVALID_IMAGE_SOURCE_URL"),
        ({"originalSource": "https://[/a.jpg"}, "INVALID_IMAGE_SOURCE_URL"),
        ({"originalSource": "file:///etc/passwd"}, "INVALID_IMAGE_SOURCE_URL"),
        ({"originalSource": ""}, "INVALID_IMAGE_SOURCE_URL"),
        ({"alt": "x" * 513}, "ALT_VALUE_LIMIT_EXCEEDED"),
        ({"filename": "a/b.jpg"}, "INVALID_FILENAME"),
        ({"filename": " "}, "INVALID_FILENAME"),
        ({"filename": "a.exe"}, "INVALID_FILENAME_EXTENSION"),
        ({"filename": "a.png"}, "MISMATCHED_FILENAME_AND_ORIGINAL_SOURCE"),
        ({"duplicateResolutionMode": "REPLACE"}, "MISSING_FILENAME_FOR_DUPLICATE_MODE_REPLACE"),
        ({"contentType": "VIDEO"}, "INVALID"),
    ],
)
async def test_an_invalid_file_is_refused(shopify, app, fields, code):
    wanted = {"originalSource": "https://bucket.example/a.jpg", **fields}
    before = len(shopify.platform.catalogue.library.of_shop(shopify.platform.shops[SHOP].number))
    assert (
        await app.refusal(CREATE, files=[{"originalSource": "https://b.example/b.jpg"}, wanted])
        == code
    )
    after = len(shopify.platform.catalogue.library.of_shop(shopify.platform.shops[SHOP].number))
    assert before == after, "all or nothing"


async def test_the_longest_alt_text_is_512_characters(shopify, app):
    gid = await created(app, alt="é" * 512)
    assert len((await app.data(POLL, id=gid))["alt"]) == 512


async def test_more_than_250_files_at_once_are_refused(app):
    answer = await app.answer(CREATE, files=[{"originalSource": "https://b.example/b.jpg"}] * 251)
    assert answer["errors"][0]["extensions"]["code"] == "MAX_INPUT_SIZE_EXCEEDED"


# Names that are taken


async def test_a_taken_name_gets_a_uuid(shopify, app):
    first, second = [await ready(shopify, app, filename="atelier.jpg") for _ in range(2)]
    urls = [(await app.data(POLL, id=gid))["image"]["url"] for gid in (first, second)]
    assert "/atelier.jpg?v=" in urls[0]
    assert "/atelier_" in urls[1]


async def test_a_taken_name_is_an_error_on_request(app):
    await created(app, filename="atelier.jpg")
    fields = {"filename": "atelier.jpg", "duplicateResolutionMode": "RAISE_ERROR"}
    source = await uploaded(app)
    assert (
        await app.refusal(CREATE, files=[{"originalSource": source, **fields}])
        == "FILENAME_ALREADY_EXISTS"
    )


async def test_replacing_a_file_keeps_its_id_and_changes_its_url(shopify, app):
    gid = await ready(shopify, app, filename="atelier.jpg")
    old = (await app.data(POLL, id=gid))["image"]["url"]
    fields = {"filename": "atelier.jpg", "duplicateResolutionMode": "REPLACE"}
    again = await created(app, png(7, 8), **fields)
    await shopify.step_files(2)
    file = await app.data(POLL, id=again)
    assert again == gid and file["image"]["width"] == 7
    assert (await app.client.get(old)).status_code == 404
    assert (await app.client.get(file["image"]["url"])).content == png(7, 8)


# Reading


async def test_files_are_found_by_name_and_status(shopify, app):
    mine = await ready(shopify, app, filename="atelier-01J.jpg", alt="marked")
    other = await created(app, filename="other.jpg")
    for query in ("filename:atelier-01J.jpg", 'filename:"atelier-01J"', "filename:atelier*"):
        found = await app.data(FILES, query=query)
        assert [file["id"] for file in found["nodes"]] == [mine], query
    assert (await app.data(FILES, query="filename:nothing"))["nodes"] == []
    assert len((await app.data(FILES))["nodes"]) == 2
    await shopify.step_files()
    assert [file["id"] for file in (await app.data(FILES, query="status:READY"))["nodes"]] == [
        mine,
        other,
    ]


async def test_an_unknown_search_field_is_refused(app):
    answer = await app.answer(FILES, query="colour:red")
    assert "errors" in answer


async def test_another_shops_file_is_not_found(shopify, client, app):
    gid = await ready(shopify, app)
    granted = await exchange(client, OTHER_SHOP, shopify.id_token(OTHER_SHOP))
    other = granted.json()["access_token"]
    assert (await ask(client, OTHER_SHOP, other, POLL, id=gid)).json()["data"] == {"node": None}
    found = (await ask(client, OTHER_SHOP, other, FILES)).json()["data"]["files"]
    assert found["nodes"] == []
    for document, variables in (
        (UPDATE, {"files": [{"id": gid, "alt": "stolen"}]}),
        (DELETE, {"ids": [gid]}),
    ):
        (payload,) = (
            (await ask(client, OTHER_SHOP, other, document, **variables)).json()["data"].values()
        )
        assert payload["userErrors"][0]["code"] == "FILE_DOES_NOT_EXIST"


# Changing


async def test_a_file_is_attached_to_and_detached_from_products(shopify, app):
    product = shopify.create_product(SHOP, "Tee", GARMENT)
    gid = await ready(shopify, app, alt="New")
    payload = await app.data(UPDATE, files=[{"id": gid, "referencesToAdd": [product.gid]}])
    assert payload["userErrors"] == []
    assert [media.gid for media in shopify.current(product).media] == [product.media_gid, gid]
    shopify.show_at_variant(product, product.variants[0].gid, gid)
    await app.data(UPDATE, files=[{"id": gid, "referencesToRemove": [product.gid]}])
    after = shopify.current(product)
    assert [media.gid for media in after.media] == [product.media_gid]
    assert after.variants[0].media_id is None
    assert (await app.data(POLL, id=gid))["fileStatus"] == "READY", "the file itself stays"


async def test_an_existing_reference_is_not_duplicated(shopify, app):
    product = shopify.create_product(SHOP, "Tee", None)
    gid = await ready(shopify, app)
    for _ in range(2):
        await app.data(UPDATE, files=[{"id": gid, "referencesToAdd": [product.gid]}])
    assert len(shopify.current(product).media) == 1


async def test_an_alt_text_changes_wherever_the_file_is_shown(shopify, app):
    product = shopify.create_product(SHOP, "Tee", GARMENT)
    payload = await app.data(UPDATE, files=[{"id": product.media_gid, "alt": "Better"}])
    assert payload["files"][0]["alt"] == "Better"
    assert shopify.current(product).media[0].alt == "Better"


@pytest.mark.parametrize("status", ["UPLOADED", "PROCESSING", "FAILED"])
async def test_a_file_that_is_not_ready_cannot_be_changed(shopify, app, monkeypatch, status):
    product = shopify.create_product(SHOP, "Tee", None)
    monkeypatch.setattr(shopify.platform, "is_held", True)
    gid = await created(app, b"no picture")
    await shopify.step_files(["UPLOADED", "PROCESSING", "FAILED"].index(status))
    code = await app.refusal(UPDATE, files=[{"id": gid, "referencesToAdd": [product.gid]}])
    expected = "INVALID_FAILED_MEDIA_STATE" if status == "FAILED" else "NON_READY_STATE"
    assert code == expected
    assert shopify.current(product).media == ()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"id": "gid://shopify/MediaImage/1"}, "FILE_DOES_NOT_EXIST"),
        ({"id": "nonsense"}, "FILE_DOES_NOT_EXIST"),
        ({"alt": "x" * 513}, "ALT_VALUE_LIMIT_EXCEEDED"),
        ({"referencesToAdd": ["gid://shopify/Product/1"]}, "REFERENCE_TARGET_DOES_NOT_EXIST"),
        ({"referencesToAdd": ["gid://shopify/Page/1"]}, "UNSUPPORTED_FILE_REFERENCE"),
        ({"referencesToRemove": ["gid://shopify/Product/1"]}, "REFERENCE_TARGET_DOES_NOT_EXIST"),
    ],
)
async def test_an_impossible_change_changes_nothing(shopify, app, change, code):
    product = shopify.create_product(SHOP, "Tee", None)
    gid = await ready(shopify, app, alt="Old")
    good = {"id": gid, "alt": "New", "referencesToAdd": [product.gid]}
    assert await app.refusal(UPDATE, files=[good, {"id": gid, **change}]) == code
    assert shopify.current(product).media == ()
    assert (await app.data(POLL, id=gid))["alt"] == "Old"


async def test_a_foreign_or_deleted_product_takes_no_file(shopify, app):
    gid = await ready(shopify, app)
    deleted = shopify.create_product(SHOP, "Gone", None)
    shopify.delete_product(deleted)
    for product in (shopify.create_product(OTHER_SHOP, "Theirs", None), deleted):
        code = await app.refusal(UPDATE, files=[{"id": gid, "referencesToAdd": [product.gid]}])
        assert code == "REFERENCE_TARGET_DOES_NOT_EXIST"


async def test_a_product_holds_at_most_250_media(shopify, app):
    product = shopify.create_product(SHOP, "Tee", None)
    for _ in range(249):
        shopify.add_image(product, b"x")
    first, second = await ready(shopify, app), await ready(shopify, app)
    both = [{"id": gid, "referencesToAdd": [product.gid]} for gid in (first, second)]
    assert await app.refusal(UPDATE, files=both) == "PRODUCT_MEDIA_LIMIT_EXCEEDED"
    assert len(shopify.current(product).media) == 249
    assert (await app.data(UPDATE, files=both[:1]))["userErrors"] == []


async def test_an_ordered_refusal_occurs_once_and_changes_nothing(shopify, app):
    product = shopify.create_product(SHOP, "Tee", None)
    gid = await ready(shopify, app)
    shopify.refuse_next("fileUpdate", "FILE_LOCKED", at=["files", "0", "id"])
    wanted = [{"id": gid, "referencesToAdd": [product.gid]}]
    assert await app.refusal(UPDATE, files=wanted) == "FILE_LOCKED"
    assert shopify.current(product).media == ()
    assert (await app.data(UPDATE, files=wanted))["userErrors"] == []


# Deleting


async def test_a_deleted_file_disappears_from_products_and_the_cdn(shopify, app):
    product = shopify.create_product(SHOP, "Tee", GARMENT)
    shopify.show_at_variant(product, product.variants[0].gid, product.media_gid)
    payload = await app.data(DELETE, ids=[product.media_gid])
    assert payload == {"deletedFileIds": [product.media_gid], "userErrors": []}
    assert shopify.current(product).media == ()
    assert shopify.current(product).variants[0].media_id is None
    assert (await app.client.get(product.image_url)).status_code == 404
    assert await app.data(POLL, id=product.media_gid) is None
    assert await app.refusal(DELETE, ids=[product.media_gid]) == "FILE_DOES_NOT_EXIST"


async def test_a_file_stays_until_its_last_product_is_deleted(shopify, app):
    first, second = [shopify.create_product(SHOP, title, None) for title in ("One", "Two")]
    gid = await ready(shopify, app)
    await app.data(UPDATE, files=[{"id": gid, "referencesToAdd": [first.gid, second.gid]}])
    shopify.delete_product(first)
    assert (await app.data(POLL, id=gid))["fileStatus"] == "READY"
    shopify.delete_product(second)
    assert await app.data(POLL, id=gid) is None
