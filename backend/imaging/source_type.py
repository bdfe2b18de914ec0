"""IPTC's DigitalSourceType: what was done to make a picture, as XMP inside the file.

Search engines, marketplaces and the EU's AI Act ask for it on pictures of generative models. No
engine here is one, and a file says that too. A photo that a model made keeps being called so.
"""

import re
from enum import StrEnum

VOCABULARY = "http://cv.iptc.org/newscodes/digitalsourcetype/"
MAX_XMP_BYTES = 1_000_000  # of a photo; what lies beyond is not looked at

XMP_PACKET = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about=""'
    ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
    ' Iptc4xmpExt:DigitalSourceType="{uri}"/>'
    "</rdf:RDF></x:xmpmeta>"
    '<?xpacket end="r"?>'
)


class DigitalSourceType(StrEnum):
    """The concepts of IPTC's vocabulary that we write."""

    ALGORITHMICALLY_ENHANCED = "algorithmicallyEnhanced"  # altered by an algorithm, not generative
    COMPOSITE = "composite"  # of several pictures, whatever each of them is
    COMPOSITE_SYNTHETIC = "compositeSynthetic"  # of several, one of them by a generative model
    TRAINED_ALGORITHMIC_MEDIA = "trainedAlgorithmicMedia"  # by a generative model
    EDITED_BY_MODEL = "compositeWithTrainedAlgorithmicMedia"  # a photo with generated parts


# The first that a photo declares is passed on.
GENERATIVE = (
    DigitalSourceType.TRAINED_ALGORITHMIC_MEDIA,
    DigitalSourceType.EDITED_BY_MODEL,
    DigitalSourceType.COMPOSITE_SYNTHETIC,
)
DECLARATION = re.compile(rb"cv\.iptc\.org/newscodes/digitalsourcetype/([A-Za-z]{1,64})")


def xmp_packet(source_type: DigitalSourceType) -> bytes:
    """An XMP packet that says this and nothing else."""
    return XMP_PACKET.format(uri=VOCABULARY + source_type).encode()


def declared_generative(xmp: bytes) -> DigitalSourceType | None:
    """What a photo's XMP says if a generative model had a part in it; the bytes are untrusted."""
    declared = {match.decode() for match in DECLARATION.findall(xmp[:MAX_XMP_BYTES])}
    return next((each for each in GENERATIVE if each in declared), None)


def source_type_of(
    *photos: DigitalSourceType | None, is_composite: bool = False
) -> DigitalSourceType:
    """What a picture is that is made of these photos: each declared generative, or None."""
    generative = [photo for photo in photos if photo is not None]
    if is_composite:
        return DigitalSourceType.COMPOSITE_SYNTHETIC if generative else DigitalSourceType.COMPOSITE
    return generative[0] if generative else DigitalSourceType.ALGORITHMICALLY_ENHANCED
