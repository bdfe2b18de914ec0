"""The scopes that each field of the Admin API requires; a field that is not listed needs none.

Source: shopify.dev's page of each field, 2026-10, as in the project's notes; where the notes name
no scope (marked), this is the stand-in's own reading.
"""

from collections.abc import Collection

READ_PRODUCTS = ("read_products",)
WRITE_PRODUCTS = ("write_products",)
WRITE_FILES = ("write_files", "write_themes")

OPENED_BY: dict[str, tuple[str, ...]] = {
    "node": ("read_files", "read_products"),  # of either kind of thing it can find
    "nodes": ("read_files", "read_products"),
    "files": ("read_files",),
    "product": READ_PRODUCTS,
    "products": READ_PRODUCTS,
    "productsCount": READ_PRODUCTS,
    "productVariant": READ_PRODUCTS,
    "collection": READ_PRODUCTS,
    "fileCreate": ("write_files", "write_themes", "write_images"),
    "fileUpdate": WRITE_FILES,
    "fileDelete": WRITE_FILES,
    "stagedUploadsCreate": ("write_files", "write_products", "write_themes"),  # own reading
    "productUpdate": WRITE_PRODUCTS,
    "productReorderMedia": WRITE_PRODUCTS,
    "productVariantAppendMedia": WRITE_PRODUCTS,
    "productVariantDetachMedia": WRITE_PRODUCTS,
}


def opens_field(granted: Collection[str], field: str) -> bool:
    """Whether one of the scopes that open this field is granted; writing implies reading."""
    opened_by = OPENED_BY.get(field, ())
    held = {*granted, *(f"read_{each[6:]}" for each in granted if each.startswith("write_"))}
    return not opened_by or not held.isdisjoint(opened_by)
