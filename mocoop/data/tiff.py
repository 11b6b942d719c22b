"""TIFF beyond what Pillow reads: any number of bands, 16 to 64 bits, tiles, planes, BigTIFF, cloud-optimised files.

`tifffile` reads the directory of tags; the strips or tiles are unpacked here, each into memory of a size that is known
from the header before. LZW, PackBits and Zstandard are unpacked by Pillow's libtiff, LERC by `imagecodecs`.

H, W: height and width in pixels; S: samples (bands) in the file; K: bands used.
"""

from __future__ import annotations

import io
import lzma
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mocoop.data.reading import Raster
from mocoop.errors import ImageError

MAX_UNPACKED = 600_000_000  # bytes of the bands used, and of one strip or tile
MAX_PAGES = 64  # overviews and masks are halved again and again: far fewer

_KINDS = {"u": "unsigned integers", "i": "signed integers", "f": "floating-point numbers", "c": "complex numbers"}
_COMPRESSIONS = {
    1: "none", 2: "CCITT", 3: "CCITT", 4: "CCITT", 5: "LZW", 6: "old JPEG", 7: "JPEG", 8: "DEFLATE", 32773: "PackBits",
    32946: "DEFLATE", 33003: "JPEG 2000", 33005: "JPEG 2000", 34712: "JPEG 2000", 34887: "LERC", 34925: "LZMA",
    50000: "Zstandard", 50001: "WebP", 50002: "JPEG XL", 52546: "JPEG XL",
}  # fmt: skip
_BY_LIBTIFF = (5, 32773, 50000)
_OURS = (1, 8, 32946, 34925, 34887, *_BY_LIBTIFF)
_PILLOWS = (1, 2, 3, 4, 5, 6, 7, 8, 32773, 32946, 34925, 50000, 50001)
_LERC = 34887
GREY_INVERTED, GREY, COLOUR = 0, 1, 2  # PhotometricInterpretation
_WAY_OUT = (
    "convert all pictures alike, for example with GDAL: gdal_translate -co COMPRESS=DEFLATE IN OUT.tif "
    "(with -ot Byte -scale LOW HIGH 0 255 for 8 bits)"
)


@dataclass(frozen=True)
class Page:
    """What the header says of the picture in a TIFF: its full resolution, without overviews and masks."""

    page: Any  # tifffile.TiffPage
    index: int
    big_endian: bool

    @property
    def size(self) -> tuple[int, int]:
        """W and H."""
        return self.page.imagewidth, self.page.imagelength

    @property
    def samples(self) -> int:
        """S."""
        return int(self.page.samplesperpixel)

    @property
    def photometric(self) -> int:
        """How the samples are meant: GREY, COLOUR, or others such as a palette."""
        return int(self.page.photometric)

    @property
    def orientation(self) -> int:
        """The EXIF orientation, 1 if there is none."""
        value = self.page.tags.valueof(274, default=1)
        return value if isinstance(value, int) else 1

    @property
    def is_plain(self) -> bool:
        """Whether Pillow reads it whole: at most 8 bits and no extra sample; or a palette, CMYK, YCbCr, CIELab."""
        one, bits = self.page, self.page.bitspersample
        if one.compression not in _PILLOWS or not isinstance(bits, int) or one.imagedepth > 1:
            return False
        if self.photometric not in (GREY, GREY_INVERTED, COLOUR):
            return bits <= 8
        planes = one.planarconfig == 2 and self.samples > 1
        unread = planes or (self.big_endian and one.parent.is_bigtiff)  # by Pillow
        ours = unread and bits == 8 and one.compression in _OURS
        wanted = 3 if self.photometric == COLOUR else 1
        return self.samples == wanted and one.sampleformat in (None, 1) and bits in (1, 2, 4, 8) and not ours

    def describe(self) -> str:
        """Bands, bits and kind, for messages."""
        bits, kind = self.page.bitspersample, self.page.dtype.kind if self.page.dtype is not None else ""
        said = _COMPRESSIONS.get(int(self.page.compression), f"number {int(self.page.compression)}")
        deep = "" if self.page.imagedepth == 1 else f", {self.page.imagedepth} layers"
        return (
            f"a TIFF of {self.samples} band{'s' * (self.samples != 1)} of {bits} bits "
            f"({_KINDS.get(kind, 'a kind not known here')}; compression: {said}{deep})"
        )


class _Grid(NamedTuple):
    """How strips or tiles cover the picture; a strip is a tile as wide as the picture."""

    height: int
    width: int
    depth: int  # samples in one tile: S, or 1 where each band has tiles of its own
    rows: int  # of tiles
    columns: int


def read_page(data: bytes, name: object) -> Page:
    """Read the header. Raises ImageError for a file of several pictures, ValueError and the like for damage."""
    from tifffile import TiffFileError

    try:
        return _read_page(data, name)
    except TiffFileError as error:  # before tifffile 2026 it is no ValueError
        raise ValueError(str(error)) from error


def _read_page(data: bytes, name: object) -> Page:
    import logging

    from tifffile import TiffFile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # it logs what is raised here
    off: dict[str, Any] = {f"is_{kind}": False for kind in ("lsm", "ndpi", "scanimage", "eer", "stk", "mmstack")}
    with TiffFile(io.BytesIO(data), **off) as file:
        pages: list[tuple[int, Any]] = []
        for index in range(MAX_PAGES + 1):
            try:
                page: Any = file.pages[index]
            except IndexError:
                break
            if not page.is_reduced and not page.is_mask:
                pages.append((index, page))
        if len(pages) > 1 or index == MAX_PAGES:
            hint = "save the one you want alone, for example: magick 'IN[0]' OUT.png"
            raise ImageError(name, "a TIFF of several pages", hint)
        if not pages:
            raise ValueError("it has no page")
        return Page(pages[0][1], pages[0][0], data[:2] == b"MM")


def check_readable(page: Page, name: object) -> None:
    """Refuse what `read_bands` cannot read, by its header. Raises ImageError, which says bands, bits and kind."""
    one = page.page
    dtype = one.dtype
    readable = (
        dtype is not None
        and dtype.kind in "uif"
        and one.bitspersample == dtype.itemsize * 8
        and one.imagedepth == 1
        and one.fillorder == 1
        and one.compression in _OURS
        and one.predictor in (1, 2, 3)
        and page.photometric in (GREY_INVERTED, GREY, COLOUR)
    )
    if not readable:
        raise ImageError(name, f"{page.describe()} is not read", _WAY_OUT)
    if one.compression == _LERC and _lerc_extra(page):
        raise ImageError(name, f"{page.describe()}, packed once more, is not read", _WAY_OUT)
    if one.compression == _LERC:
        try:
            import imagecodecs  # noqa: F401
        except ImportError as error:
            raise ImageError(name, f"{page.describe()} needs a package", "pip install imagecodecs") from error


def read_bands(page: Page, data: bytes, bands: Sequence[int], name: object) -> Raster:
    """The bands (H, W, K) of a page, counted from 1. Raises ImageError, or ValueError and the like for damage."""
    check_readable(page, name)
    one, (width, height), grid = page.page, page.size, _grid(page)
    item = one.dtype.itemsize
    if max(width * height * len(bands), grid.height * grid.width * grid.depth) * item > MAX_UNPACKED:
        message = f"{page.describe()}, {width} x {height} pixels: more than {MAX_UNPACKED:,} bytes unpacked"
        raise ImageError(name, message, "cut it into tiles or make it smaller")
    values = np.empty((height, width, len(bands)), one.dtype.newbyteorder("="))
    for top, left, tile, which in _tiles(page, data, grid, [band - 1 for band in bands]):
        part = values[top : top + grid.height, left : left + grid.width]
        found = tile[: part.shape[0], : part.shape[1]]  # (h, w, grid.depth)
        for target, source in which:
            part[..., target] = found[..., source]
    valid = _valid(page, values)
    if page.photometric == GREY_INVERTED and values.dtype.kind == "u":
        values = np.iinfo(values.dtype).max - values
    return Raster(values, valid=valid)


def _grid(page: Page) -> _Grid:
    one, (width, height) = page.page, page.size
    if one.is_tiled:
        tall, wide = int(one.tilelength), int(one.tilewidth)
        if min(tall, wide) < 16:
            raise ValueError(f"tiles of {wide} x {tall} pixels")
    else:
        tall, wide = min(height, int(one.rowsperstrip) or height), width
    return _Grid(tall, wide, page.samples if one.planarconfig == 1 else 1, -(-height // tall), -(-width // wide))


def _tiles(
    page: Page, data: bytes, grid: _Grid, wanted: Sequence[int]
) -> Iterator[tuple[int, int, np.ndarray, list[tuple[int, int]]]]:
    """Each tile that is needed: its top and left, its values, and which output band comes from which of its samples."""
    one, together = page.page, grid.depth == page.samples
    offsets, counts = one.dataoffsets, one.databytecounts
    planes = [0] if together else sorted(set(wanted))
    for plane in planes:
        which = [(k, band if together else 0) for k, band in enumerate(wanted) if together or band == plane]
        for row in range(grid.rows):
            for column in range(grid.columns):
                place = (plane * grid.rows + row) * grid.columns + column
                if place >= min(len(offsets), len(counts)):
                    raise ValueError("strips or tiles are missing")
                high = min(grid.height, page.size[1] - row * grid.height)
                shape = (grid.height if one.is_tiled else high, grid.width, grid.depth)
                tile = _tile(page, data, offsets[place], counts[place], shape)
                yield row * grid.height, column * grid.width, tile, which


def _tile(page: Page, data: bytes, offset: int, count: int, shape: tuple[int, int, int]) -> np.ndarray:
    one = page.page
    dtype = one.dtype.newbyteorder(">" if page.big_endian else "<")
    if not offset or not count:  # sparse files leave tiles out that hold no data
        return np.full(shape, _nodata(page) or 0, one.dtype.newbyteorder("="))
    packed = data[offset : offset + count]
    if len(packed) < count:
        raise ValueError("the end of the file is missing")
    if one.compression == _LERC:
        return _unlerc(packed, shape, one.dtype)
    size = int(np.prod(shape)) * dtype.itemsize
    raw = _unpacked(packed, int(one.compression), size, shape[0], page.big_endian)
    if len(raw) < size:
        raise ValueError("a strip or tile is too short")
    if one.predictor == 3:
        return _unpredicted_float(raw[:size], shape, dtype)
    values = np.frombuffer(raw, dtype, count=size // dtype.itemsize).reshape(shape)
    values = values.astype(dtype.newbyteorder("="))
    return np.cumsum(values, axis=1, dtype=values.dtype) if one.predictor == 2 else values


def _unpacked(packed: bytes, compression: int, size: int, rows: int, big_endian: bool) -> bytes:
    """The bytes of a strip or tile, at most `size` of them: a bomb is cut there."""
    if compression == 1:
        return packed
    if compression in (8, 32946):
        return zlib.decompressobj().decompress(packed, size)
    if compression == 34925:
        try:
            return lzma.LZMADecompressor().decompress(packed, size)
        except lzma.LZMAError as error:
            raise ValueError(str(error)) from error
    return _by_libtiff(packed, compression, size, rows, big_endian)


def _by_libtiff(packed: bytes, compression: int, size: int, rows: int, big_endian: bool) -> bytes:
    """Unpack by Pillow: the bytes are put into a TIFF of one strip whose pixels are the bytes themselves."""
    from PIL import TiffImagePlugin

    order = ">" if big_endian else "<"
    tags = ((256, size // rows), (257, rows), (258, 8), (259, compression), (262, 1), (273, 8), (277, 1), (278, rows),
            (279, len(packed)))  # fmt: skip
    body = packed + b"\0" * (len(packed) % 2)
    entries = b"".join(struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in tags)
    head = struct.pack(f"{order}2sHI", b"MM" if big_endian else b"II", 42, 8 + len(body))
    made = head + body + struct.pack(f"{order}H", len(tags)) + entries + bytes(4)
    image = TiffImagePlugin.TiffImageFile(io.BytesIO(made))
    return image.tobytes()


def _unpredicted_float(raw: bytes, shape: tuple[int, int, int], dtype: np.dtype[Any]) -> np.ndarray:
    """TIFF's predictor 3: in each row first all high bytes, then the next ones, each byte less the one before."""
    rows, width, depth = shape
    row = np.frombuffer(raw, np.uint8).reshape(rows, width * dtype.itemsize, depth)
    planes = np.cumsum(row, axis=1, dtype=np.uint8).reshape(rows, dtype.itemsize, width * depth)
    high_first = np.ascontiguousarray(planes.transpose(0, 2, 1))  # (rows, W * S, bytes)
    native = np.dtype(dtype.newbyteorder("="))
    found: np.ndarray = high_first.view(native.newbyteorder(">")).astype(native).reshape(shape)
    return found


def _lerc_extra(page: Page) -> bool:
    """Whether LERC's output was packed once more (LercParameters: version, additional compression)."""
    parameters = page.page.tags.valueof(50674, default=())
    return len(parameters) > 1 and parameters[1] != 0


def _unlerc(packed: bytes, shape: tuple[int, int, int], dtype: np.dtype[Any]) -> np.ndarray:
    import imagecodecs

    rows, columns = struct.unpack_from("<ii", packed, 14)  # after "Lerc2 ", a version and a checksum
    if packed[:6] != b"Lerc2 " or not 0 < rows * columns <= shape[0] * shape[1]:
        raise ValueError("LERC data of another size")
    found = np.asarray(imagecodecs.lerc_decode(packed))
    if found.dtype != dtype or found.size != int(np.prod(shape)):
        raise ValueError("LERC data of another size")
    return found.reshape(shape)


def _nodata(page: Page) -> float | None:
    """GDAL's value for "no data", if the file names one that its type can hold."""
    text = page.page.tags.valueof(42113, default=None)
    try:
        value = float(text) if text is not None else None
    except (TypeError, ValueError):
        return None
    if value is None or page.page.dtype.kind == "f":
        return value
    limits = np.iinfo(page.page.dtype)
    return value if value.is_integer() and limits.min <= value <= limits.max else None


def _valid(page: Page, values: np.ndarray) -> np.ndarray | None:
    """(H, W), where the pixel is not "no data" in every band used; None if there is no such pixel, or no such value.

    A byte is never "no data": in pictures of 8 bits 0 and 255 are black and white.
    """
    value = _nodata(page)
    if value is None or values.dtype == np.uint8 or np.isnan(value):
        return None
    with np.errstate(over="ignore"):  # a value that the type cannot hold is in no pixel
        empty = np.asarray((values == values.dtype.type(value)).all(axis=-1))
    return ~empty if empty.any() else None
