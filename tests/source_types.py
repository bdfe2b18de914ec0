"""Reads IPTC's DigitalSourceType with Pillow and an XML parser, which the product never uses."""

import io
from xml.etree import ElementTree

from PIL import Image

PROPERTY = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
VOCABULARY = "http://cv.iptc.org/newscodes/digitalsourcetype/"
XMP_KEYS = ("xmp", "XML:com.adobe.xmp")  # PNG's is the latter


def source_type_in(data: bytes) -> str | None:
    """The name of the file's source type; None without one. The XMP must be well-formed."""
    info = Image.open(io.BytesIO(data)).info
    xmp = next((info[key] for key in XMP_KEYS if key in info), None)
    if xmp is None:
        return None
    [uri] = [
        element.attrib[PROPERTY]
        for element in ElementTree.fromstring(xmp).iter()
        if PROPERTY in element.attrib
    ]
    assert uri.startswith(VOCABULARY)
    return uri.removeprefix(VOCABULARY)
