"""What the boxes of a HEIF container (ISO/IEC 14496-12 and 23008-12) say of the primary picture.

The bytes are untrusted: whatever does not hold together is taken as not said.
"""

import struct
from collections.abc import Iterator

NamedBox = tuple[bytes, bytes]  # name and content

MAX_BRANDS = 64
MAX_ITEMS = 1000  # as libheif has it
FULL_BOX = 4  # bytes of version and flags
NOT_SAID = (struct.error, IndexError, KeyError)


class HeifContainer:
    """The properties of a container's pictures, and which pictures others are made of."""

    def __init__(self, data: bytes) -> None:
        """Raises one of `NOT_SAID`."""
        self._meta = _first(_boxes(data), b"meta")[FULL_BOX:]
        properties = _first(_boxes(self._meta), b"iprp")
        self._contents = list(_boxes(_first(_boxes(properties), b"ipco")))
        self._indices = dict(_associations(_first(_boxes(properties), b"ipma")))

    @property
    def primary(self) -> int:
        """The picture that is shown."""
        pitm = _first(_boxes(self._meta), b"pitm")
        (item,) = struct.unpack_from(">H" if pitm[0] == 0 else ">I", pitm, FULL_BOX)
        return int(item)

    def properties_of(self, item: int) -> Iterator[NamedBox]:
        """The boxes that describe this picture."""
        for index in self._indices.get(item, ()):
            if 0 < index <= len(self._contents):
                yield self._contents[index - 1]

    def pixels_of(self, item: int) -> int:
        """Width times height of this picture."""
        sizes = (content for name, content in self.properties_of(item) if name == b"ispe")
        width, height = struct.unpack_from(">II", next(sizes, bytes(12)), FULL_BOX)
        return int(width * height)

    def parts(self) -> Iterator[int]:
        """The picture that each tile of any picture shows; one may be shown many times."""
        iref = next((content for name, content in _boxes(self._meta) if name == b"iref"), bytes(4))
        form = "H" if iref[0] == 0 else "I"
        for name, content in _boxes(iref[FULL_BOX:]):
            if name == b"dimg":
                head = struct.Struct(f">{form}H")
                _, count = head.unpack_from(content)
                yield from struct.unpack_from(f">{count}{form}", content, head.size)


def brands_of(data: bytes) -> tuple[bytes, frozenset[bytes]]:
    """The major brand, and all brands; nothing if this is no such container."""
    if data[4:8] != b"ftyp":
        return b"", frozenset()
    size = min(int.from_bytes(data[:4]), 8 + 4 * MAX_BRANDS, len(data))
    major = data[8:12]
    others = (data[at : at + 4] for at in range(16, size - 3, 4))
    return major, frozenset({major, *others})


def code_points_of(data: bytes) -> tuple[int, int] | None:
    """Primaries and transfer (ITU-T H.273) of the primary picture, if its `colr` has them."""
    try:
        container = HeifContainer(data)
        for name, content in container.properties_of(container.primary):
            if name == b"colr" and content[:4] == b"nclx":
                primaries, transfer = struct.unpack_from(">HH", content, 4)
                return primaries, transfer
    except NOT_SAID:
        pass
    return None


def tiled_pixels_of(data: bytes, limit: int) -> int:
    """How many pixels of tiles have to be decoded, counted up to the limit."""
    total = 0
    try:
        container = HeifContainer(data)
        for number, item in enumerate(container.parts()):
            total += container.pixels_of(item)
            if total > limit or number >= MAX_ITEMS:
                return limit + 1
    except NOT_SAID:
        pass
    return total


def _boxes(data: bytes) -> Iterator[NamedBox]:
    """Each box, as far as they are whole."""
    at = 0
    while at + 8 <= len(data):
        size, header = int.from_bytes(data[at : at + 4]), 8
        if size == 1:
            size, header = int.from_bytes(data[at + 8 : at + 16]), 16
        elif size == 0:
            size = len(data) - at
        if size < header or at + size > len(data):
            return
        yield data[at + 4 : at + 8], data[at + header : at + size]
        at += size


def _first(boxes: Iterator[NamedBox], wanted: bytes) -> bytes:
    for name, content in boxes:
        if name == wanted:
            return content
    raise KeyError(wanted)


def _associations(ipma: bytes) -> Iterator[tuple[int, list[int]]]:
    """Each picture, and the indices of its properties, counted from 1."""
    item_format = struct.Struct(">H" if ipma[0] == 0 else ">I")
    index_format, mask = (">H", 0x7FFF) if ipma[3] & 1 else (">B", 0x7F)
    (entries,) = struct.unpack_from(">I", ipma, FULL_BOX)
    at = FULL_BOX + 4
    for _ in range(min(entries, MAX_ITEMS)):
        (item,) = item_format.unpack_from(ipma, at)
        at += item_format.size
        end = at + 1 + ipma[at] * struct.calcsize(index_format)
        packed = struct.iter_unpack(index_format, ipma[at + 1 : end])
        yield item, [index & mask for (index,) in packed]
        at = end
