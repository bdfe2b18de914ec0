"""HEIF containers made by hand around coded pixels: turned, tiled, coloured, and hostile.

The pixels are those of another file: HEVC of `tests/data/heic`, AV1 of libvips.
"""

import struct
from collections.abc import Sequence

import msgspec

from tests.running_app import HEIC

WIDTH, HEIGHT = 640, 528  # of the samples


class Coded(msgspec.Struct, frozen=True):
    """One coded picture: the box that configures its decoder, and its bytes."""

    kind: bytes
    configuration: bytes
    data: bytes


def sample(name: str) -> bytes:
    return (HEIC / f"{name}.heic").read_bytes()


def coded(file: bytes) -> Coded:
    """The first picture of an AVIF or HEIC file."""
    kind, name = (b"hvc1", b"hvcC") if b"hvcC" in file else (b"av01", b"av1C")
    at = file.index(name) - 4
    configuration = file[at : at + int.from_bytes(file[at : at + 4])]
    start, length = _extent(file)
    return Coded(kind, configuration, file[start : start + length])


def _extent(file: bytes) -> tuple[int, int]:
    """Where the first item's bytes are (ISO/IEC 14496-12, `iloc`)."""
    at = file.index(b"iloc") + 4
    version, sizes = file[at], file[at + 4]
    base_size = file[at + 5] >> 4
    at += 8 + 2 + (2 if version else 0) + 2  # count, item, construction, data reference
    base = int.from_bytes(file[at : at + base_size])
    at += base_size + 2
    offset = int.from_bytes(file[at : at + (sizes >> 4)])
    at += sizes >> 4
    return base + offset, int.from_bytes(file[at : at + (sizes & 15)])


def box(name: bytes, *contents: bytes) -> bytes:
    content = b"".join(contents)
    return struct.pack(">I", 8 + len(content)) + name + content


def full_box(name: bytes, *contents: bytes, version: int = 0, flags: int = 0) -> bytes:
    return box(name, struct.pack(">I", version << 24 | flags), *contents)


def size_box(width: int, height: int) -> bytes:
    return full_box(b"ispe", struct.pack(">II", width, height))


def turned(quarters: int) -> bytes:
    """`irot`: so many quarters anticlockwise."""
    return box(b"irot", bytes([quarters]))


def mirrored(axis: int) -> bytes:
    """`imir`: about a vertical axis (1), or a horizontal one (0), as libheif reads it."""
    return box(b"imir", bytes([axis]))


def code_points(primaries: int, transfer: int, matrix: int = 6) -> bytes:
    """`colr` with code points of H.273."""
    return box(b"colr", b"nclx", struct.pack(">HHHB", primaries, transfer, matrix, 0x80))


def icc_profile(profile: bytes) -> bytes:
    return box(b"colr", b"prof", profile)


def exif(orientation: int) -> bytes:
    """An EXIF block with nothing but an orientation."""
    tiff = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x112, 3, 1, orientation, 0, 0)
    return struct.pack(">I", 6) + b"Exif\0\0" + tiff


def heif(
    picture: Coded,
    *properties: bytes,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    grid: tuple[int, int] | None = None,
    output: tuple[int, int] | None = None,
    orientation: int | None = None,
    brand: bytes | None = None,
) -> bytes:
    """The picture, or a grid of it with so many columns and rows, with these properties.

    `size` is what the header says of the coded picture, `output` what it says of the grid.
    """
    brand = brand or (b"heic" if picture.kind == b"hvc1" else b"avif")
    count = grid[0] * grid[1] if grid else 1
    items = [(picture.kind, picture.data)] * count
    tile = [picture.configuration, size_box(*size)]
    shared = [*tile, *properties]
    wanted = {n: [1, 2] for n in range(1, count + 1)}
    references: list[bytes] = []
    primary = 1
    if grid:
        columns, rows = grid
        width, height = output or (columns * size[0], rows * size[1])
        layout = struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, width, height)
        items.append((b"grid", layout))
        primary = len(items)
        shared.append(size_box(width, height))
        wanted[primary] = [len(shared), *range(3, 3 + len(properties))]
        tiles = struct.pack(f">HH{count}H", primary, count, *range(1, count + 1))
        references.append(box(b"dimg", tiles))
    else:
        wanted[1] += range(3, 3 + len(properties))
    if orientation:
        items.append((b"Exif", exif(orientation)))
        references.append(box(b"cdsc", struct.pack(">HHH", len(items), 1, primary)))
    return _file(brand, items, shared, wanted, references, primary)


def _file(
    brand: bytes,
    items: Sequence[tuple[bytes, bytes]],
    properties: Sequence[bytes],
    wanted: dict[int, list[int]],
    references: Sequence[bytes],
    primary: int,
) -> bytes:
    start = box(b"ftyp", brand, bytes(4), b"mif1", b"miaf", brand)
    infos = [
        full_box(b"infe", struct.pack(">HH", number, 0), kind, b"\0", version=2)
        for number, (kind, _) in enumerate(items, 1)
    ]
    associations = [
        struct.pack(">HB", number, len(indices)) + bytes(0x80 | index for index in indices)
        for number, indices in wanted.items()
    ]

    def meta(offset: int) -> bytes:
        places, at, known = [], offset, {}
        for number, (_, data) in enumerate(items, 1):
            if data not in known:
                known[data], at = at, at + len(data)
            place = struct.pack(">HHHHII", number, 0, 0, 1, known[data], len(data))
            places.append(place)
        return full_box(
            b"meta",
            full_box(b"hdlr", bytes(4), b"pict", bytes(13)),
            full_box(b"pitm", struct.pack(">H", primary)),
            full_box(b"iloc", b"\x44\0", struct.pack(">H", len(items)), *places, version=1),
            full_box(b"iinf", struct.pack(">H", len(items)), *infos),
            *([full_box(b"iref", *references)] if references else []),
            box(
                b"iprp",
                box(b"ipco", *properties),
                full_box(b"ipma", struct.pack(">I", len(wanted)), *associations),
            ),
        )

    body = b"".join(dict.fromkeys(data for _, data in items))
    return start + meta(len(start) + len(meta(0)) + 8) + box(b"mdat", body)
