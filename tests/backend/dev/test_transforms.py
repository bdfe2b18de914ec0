"""Transformed images of the stand-in's CDN."""

import io
from urllib.parse import urlsplit

import pytest
from PIL import Image, ImageSequence

from backend.dev.shopify import StandInShopify, admin
from backend.dev.shopify.media import ImageContent
from backend.dev.shopify.transforms import Transformation, transformation, transformed
from tests.running_app import HEIC

SHOP = "a-shop.myshopify.com"
WEBP = Transformation(width=300, height=300, kind="webp")
JPG = Transformation(width=None, height=None, kind="jpg")


def picture(content: bytes) -> ImageContent:
    return ImageContent(content=content, content_type="", filename="a", width=0, height=0)


def drawing(kind: str, **options: object) -> bytes:
    """Green, 400 × 200, the right half transparent where the format allows it."""
    image = Image.new("RGBA", (400, 200), (0, 160, 0, 255))
    image.paste((0, 160, 0, 0), (200, 0, 400, 200))
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.fixture(scope="module")
def ask():
    shopify = StandInShopify(api_key="key", secret="hush")
    shopify.create_shop(SHOP)
    product = shopify.create_product(SHOP, "Tee", b"x", "image/heic", "Tee.heic")
    document = "query ($id: ID!) { product(id: $id) { media(first: 1) { nodes { %s } } } }"

    def ask(transform: str):
        image = f"... on MediaImage {{ image {{ url(transform: {transform}) }} }}"
        answer = admin.answer(
            shopify.platform, shopify.platform.shops[SHOP], document % image, {"id": product.gid}
        )
        return answer, product.image_url

    return ask


def test_a_transformed_url_names_its_original_and_keeps_the_version(ask) -> None:
    answer, original = ask("{preferredContentType: WEBP, maxWidth: 5760}")
    [node] = answer["data"]["product"]["media"]["nodes"]
    url, original = urlsplit(node["image"]["url"]), urlsplit(original)
    assert (url.netloc, url.query) == (original.netloc, original.query)
    wanted = Transformation(width=5760, height=None, kind="webp")
    assert transformation(url.path) == (original.path, wanted)
    assert transformation(original.path) is None


@pytest.mark.parametrize(
    "transform",
    [
        "{preferredContentType: HEIC}",
        '{preferredContentType: "WEBP"}',
        "{maxWidth: 5761}",
        "{maxHeight: 0}",
        "{quality: 90}",
    ],
)
def test_what_shopify_does_not_make_is_refused(ask, transform: str) -> None:
    assert ask(transform)[0]["errors"]


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "AVIF", "PNG"])
def test_any_type_becomes_webp_with_its_transparency(kind: str) -> None:
    made = transformed(picture(drawing(kind)), WEBP)
    image = Image.open(io.BytesIO(made.content))
    assert (made.content_type, image.format, image.size) == ("image/webp", "WEBP", (300, 150))
    assert image.getchannel("A").getpixel((250, 75)) == 0


def test_heic_becomes_webp() -> None:
    made = transformed(picture((HEIC / "opaque.heic").read_bytes()), WEBP)
    assert Image.open(io.BytesIO(made.content)).format == "WEBP"


def test_a_jpeg_has_no_transparency() -> None:
    made = transformed(picture(drawing("GIF")), JPG)
    assert (made.content_type, Image.open(io.BytesIO(made.content)).mode) == ("image/jpeg", "RGB")


def test_an_animation_stays_one_as_webp() -> None:
    other = Image.new("RGB", (400, 200), "red")
    moving = picture(drawing("GIF", save_all=True, append_images=[other]))
    frames = ImageSequence.Iterator(Image.open(io.BytesIO(transformed(moving, WEBP).content)))
    assert len(list(frames)) == 2


def test_bytes_that_are_no_image_are_served_as_they_are() -> None:
    assert transformed(picture(b"no image"), WEBP) == picture(b"no image")
