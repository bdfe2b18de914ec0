"""Fields that all requests share: the input photo and the output images."""

from typing import Annotated, Literal

import msgspec

# `$` also matches before a trailing line break; END does not.
END = r"$(?!\n)"
SHOPIFY_ID = "(0|[1-9][0-9]{0,19})"  # without leading zeros: one thing has one id
# The kinds of the small copies that are kept of a job's photo and of its first final image, as long
# as the job is. They are stored with artifacts: never change one.
ORIGINAL_THUMBNAIL, THUMBNAIL = "original_thumbnail", "thumbnail"
HexColour = Annotated[
    str, msgspec.Meta(pattern=f"^#[0-9a-f]{{6}}{END}", description="sRGB, for example #f4f4f2.")
]
UploadKey = Annotated[
    str, msgspec.Meta(pattern=f"^upl_[0-9a-f]{{32}}{END}", description="From POST /v1/uploads.")
]
ProductGid = Annotated[
    str,
    msgspec.Meta(
        pattern=f"^gid://shopify/Product/{SHOPIFY_ID}{END}",
        description="A product of this shop; its first photo is used.",
    ),
]
MediaGid = Annotated[
    str,
    msgspec.Meta(
        pattern=f"^gid://shopify/MediaImage/{SHOPIFY_ID}{END}",
        description="A photo in this shop's files.",
    ),
]
UPLOAD_FIELD_SUFFIX = "upload_key"  # every field that names an upload ends so
# Photos of a person. They are never shown again, and no rule or batch keeps one.
PRIVATE_UPLOAD_FIELDS = frozenset({"person_upload_key"})


class ProductPhoto(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The input photo. Set exactly one of the three fields."""

    upload_key: UploadKey | None = None
    product_id: ProductGid | None = None
    media_id: MediaGid | None = None


class Output(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A final image. `size` is its longer side in pixels."""

    size: Annotated[int, msgspec.Meta(ge=256, le=4096)]
    format: Literal["jpeg", "webp", "avif"]


Outputs = Annotated[
    tuple[Output, ...],
    msgspec.Meta(min_length=1, max_length=8, extra_json_schema={"uniqueItems": True}),
]
ShadowChoice = Annotated[
    Literal["none", "contact"],
    msgspec.Meta(description="`contact`: a soft shadow under the product."),
]

AspectRatio = Annotated[
    Literal["1:1", "4:5", "3:4", "2:3", "16:9"], msgspec.Meta(description="Width to height.")
]
LARGEST_SEED = 2**31 - 1  # the providers' common range
Seed = Annotated[
    int,
    msgspec.Meta(
        ge=0,
        le=LARGEST_SEED,
        description="The same seed and parameters give a similar image, if the engine can repeat "
        "one. Without it each job has a seed of its own, which its `request` shows.",
    ),
]
# Neither control characters nor marks that change the direction of the text.
_CONTROLS = r"\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069"
PLAIN_TEXT = rf"^[^{_CONTROLS}]*{END}"
READABLE_TEXT = rf"^[^{_CONTROLS}]*[^\s{_CONTROLS}][^{_CONTROLS}]*{END}"  # not only spaces
FreeText = Annotated[str, msgspec.Meta(max_length=300, pattern=PLAIN_TEXT)]

JPEG_AND_WEBP = (Output(size=2048, format="jpeg"), Output(size=1024, format="webp"))
