"""Pictures decoded safely: JPEG, PNG, WebP, BMP and single-page TIFF in, an RGB Pillow image out.

Every picture is converted in the same way: rotated according to its EXIF data; transparency composited on white;
CMYK, YCbCr, grey and palettes converted to RGB; more than 8 bits per channel, and the bands of a TIFF, by the `Reading`
of the data set. That rule does not depend on one image's content, so equal values stay equal across a data set; a
picture that comes out nearly black or fully transparent is remarked on. Colour profiles are not applied.

The size is read from the header before anything is decoded. A file that is truncated, has more than one page or
frame, or has another format is refused with a hint: everything raised here is an ImageError. Overviews and masks of a
cloud-optimised TIFF are no pages. Resizing and normalising belong to the backbone's transform, not here.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple, TypeVar, Union

from mocoop.data import imageformats
from mocoop.data.contents import MAX_BYTES, is_inside, picture_bytes
from mocoop.data.dataset import named
from mocoop.data.imageformats import BMP, JPEG, PNG, TIFF, WEBP, Kind
from mocoop.data.reading import BLACK, CLEAR, MANY, NEARLY, TWO, Raster, Reading, eight_bits
from mocoop.errors import DataError, ImageError
from mocoop.files import os_error

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image, ImageFile

    from mocoop.data.tiff import Page

MAX_PIXELS = 100_000_000  # 300 MB as RGB
MAX_ASPECT = 100  # resizing the short side of a longer strip would make a huge image

ImageSource = Union[str, "os.PathLike[str]", bytes, IO[bytes]]
Result = TypeVar("Result")
Remark = Callable[[str], None]  # called with a kind of remark, see `mocoop.data.reading`

_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
_GREY_AND_ALPHA = 4  # colour type of a PNG
_SMALLER = "cut it into tiles or make it smaller"
_WHITE = (255, 255, 255, 255)
_REFUSED_MODES = {"I": "32-bit integers", "F": "floating-point numbers", "LAB": "the LAB colour space"}
_DAMAGE = (  # what Pillow raises for damaged content; fuzzing produced only the first three
    OSError,
    SyntaxError,
    ValueError,
    LookupError,
    EOFError,
    OverflowError,
    struct.error,
    zlib.error,
    Warning,  # if a user's filter turns Pillow's warnings into errors
)

_ODD_TAGS = (TypeError, AttributeError, ArithmeticError, RecursionError)  # tags of a TIFF, of another type or size


def _unheard(kind: str) -> None:
    """Nobody asks for the remarks."""


def open_image(
    source: ImageSource,
    *,
    name: object = None,
    max_pixels: int = MAX_PIXELS,
    max_bytes: int = MAX_BYTES,
    reading: Reading = Reading(),  # noqa: B008  # frozen
    remark: Remark = _unheard,
) -> Image.Image:
    """Decode one picture, given as a path, its bytes or an open binary file, to mode RGB.

    `name` names the picture in messages if `source` is not a path. `reading` is the data set's rule for bands and
    depth; `remark` is called with each kind of remark on the picture. Raises ImageError.
    """
    name = _name_of(source) if name is None else name
    data = _read(source, name, max_bytes)
    return _guarded(lambda kind: _decode(data, kind, name, max_pixels, reading, remark), data, name, max_pixels)


def stored_values(
    source: ImageSource, *, name: object = None, bands: tuple[int, ...] | None = None, max_pixels: int = MAX_PIXELS
) -> tuple[Kind, Raster | None]:
    """The format of a picture, and its values if they have more than 8 bits. Raises ImageError."""
    name = _name_of(source) if name is None else name
    data = _read(source, name, MAX_BYTES)

    def values(kind: Kind) -> tuple[Kind, Raster | None]:
        if kind is PNG and is_deep_png(data):
            return kind, _deep_png(_opened(data, kind, name, max_pixels), data)
        if kind is not TIFF:
            return kind, None
        page = _page(data, name, max_pixels)
        if page.is_plain or page.page.dtype == "uint8":
            return kind, None
        return kind, _tiff_raster(page, data, name, bands, _unheard)

    return _guarded(values, data, name, max_pixels)


def _guarded(work: Callable[[Kind], Result], data: bytes, name: object, max_pixels: int) -> Result:
    """Run `work` on the format of some bytes, whatever it raises as an ImageError."""
    from PIL import Image

    kind = imageformats.sniff(data)
    if kind.hint is not None:
        raise ImageError(name, f"this is {kind.name}", kind.hint)
    try:
        return work(kind)
    except ImageError:  # a ValueError too, but it says what it is about
        raise
    except MemoryError as error:
        raise ImageError(name, "not enough memory to decode it", "make the picture smaller") from error
    except Image.DecompressionBombError as error:  # Pillow checks this for WebP and TIFF tiles before we can
        raise ImageError(name, f"more than {max_pixels:,} pixels: {error}", _SMALLER) from error
    except _DAMAGE as error:
        raise ImageError(name, f"damaged or cut {kind.name}: {error}", "replace the file") from error
    except _ODD_TAGS as error:
        if kind is not TIFF:
            raise
        raise ImageError(name, f"damaged or cut TIFF: its tags cannot be read ({error})", "replace the file") from error


def to_rgb(
    image: Image.Image,
    name: object = "image",
    *,
    max_pixels: int = MAX_PIXELS,
    reading: Reading = Reading(),  # noqa: B008  # frozen
    remark: Remark = _unheard,
) -> Image.Image:
    """Convert a Pillow image by the rules of this module: size, orientation, transparency, 16 bits.

    Raises ImageError, which names the picture as `name`.
    """
    _check_size(image.size, name, max_pixels)
    try:
        image.load()
        return _convert(_upright(image), name, reading, remark)
    except ImageError:
        raise
    except _DAMAGE as error:
        raise ImageError(name, f"cannot be decoded: {error}", "replace the file") from error


class FolderImages(NamedTuple):
    """The files of a folder in sorted lists: images; files of unsupported image formats; and files that are images by
    their first bytes, but not by their name."""

    images: tuple[Path, ...]
    refused: tuple[Path, ...]
    unnamed: tuple[Path, ...] = ()

    def left_out(self, folder: Path) -> list[str]:
        """Notes that name the files left out."""
        notes = []
        if self.refused:
            what = named(path.name for path in self.refused)
            notes.append(f"{folder}: of a format that is not read: {what} ({imageformats.READABLE})")
        if self.unnamed:
            what = named(path.name for path in self.unnamed)
            notes.append(f"{folder}: images whose names do not end like an image's are left out: {what}; rename them")
        return notes


def list_images(folder: str | os.PathLike[str]) -> FolderImages:
    """The image files of a folder and its subfolders, by extension; hidden files are skipped.

    Links to folders are followed, without cycles. Sorted by the path below `folder`, so the order is the same on
    every file system. Raises DataError for a folder that cannot be read.
    """
    found: tuple[list[Path], list[Path], list[Path]] = ([], [], [])
    _walk(Path(folder), (), *found)
    base = len(Path(folder).parts)
    for paths in found:
        paths.sort(key=lambda path: path.parts[base:])
    return FolderImages(*map(tuple, found))


def _walk(folder: Path, above: tuple[str, ...], images: list[Path], refused: list[Path], unnamed: list[Path]) -> None:
    real = os.path.realpath(folder)
    if real in above:
        return
    try:
        with os.scandir(folder) as scan:
            entries = list(scan)
    except OSError as error:
        raise os_error(error, "read", folder, DataError) from error
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            _walk(folder / entry.name, (*above, real), images, refused, unnamed)
            continue
        suffix = os.path.splitext(entry.name)[1].lower()
        if suffix in imageformats.READ_SUFFIXES:
            images.append(folder / entry.name)
        elif suffix in imageformats.REFUSED_SUFFIXES:
            refused.append(folder / entry.name)
        elif suffix not in imageformats.OTHER_SUFFIXES and _is_image(folder / entry.name):
            unnamed.append(folder / entry.name)


def _is_image(path: Path) -> bool:
    """Whether a file begins like an image that is read."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return imageformats.sniff(file.read(64)).hint is None
    except OSError:
        return False


def _name_of(source: ImageSource) -> object:
    if isinstance(source, (str, os.PathLike)):
        return source
    return getattr(source, "name", "image")


def _read(source: ImageSource, name: object, max_bytes: int) -> bytes:
    try:
        data = _bytes_of(source, max_bytes)
    except OSError as error:
        raise ImageError(name, f"cannot be read: {error.strerror or error}", "check the path") from error
    except DataError:
        raise
    except ValueError as error:  # a NUL in the path
        raise ImageError(ascii(name), f"cannot be read: {error}", "check the path") from error
    if len(data) > max_bytes:
        raise ImageError(name, f"larger than {max_bytes:,} bytes", "make the picture smaller")
    if not data:
        raise ImageError(name, "the file is empty", "replace the file")
    return data


def _bytes_of(source: ImageSource, max_bytes: int) -> bytes:
    if isinstance(source, bytes):
        return source
    if not isinstance(source, (str, os.PathLike)):
        return source.read(max_bytes + 1)
    if is_inside(path := Path(source)):
        return picture_bytes(path, max_bytes)
    mode = os.stat(source).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # reading a pipe could block forever
        raise OSError("not a regular file")
    with open(source, "rb") as file:
        return file.read(max_bytes + 1)


def _decode(data: bytes, kind: Kind, name: object, max_pixels: int, reading: Reading, remark: Remark) -> Image.Image:
    if kind is TIFF:
        return _decode_tiff(data, name, max_pixels, reading, remark)
    image = _opened(data, kind, name, max_pixels)
    if kind is PNG and is_deep_png(data):
        return _upright(_rendered(_deep_png(image, data), name, reading, remark), like=image)
    image.load()
    return _convert(_upright(image), name, reading, remark)


def _opened(data: bytes, kind: Kind, name: object, max_pixels: int) -> ImageFile.ImageFile:
    """A picture whose header has been read and checked. Raises ImageError."""
    image = _opener(kind)(io.BytesIO(data))
    _check_size(image.size, name, max_pixels)
    if kind not in (JPEG, TIFF) and getattr(image, "is_animated", False):  # further frames in a JPEG are previews
        raise _several_frames(name, kind)
    if kind is PNG:
        _check_png_whole(data)
    return image


def _opener(kind: Kind) -> Callable[[IO[bytes]], ImageFile.ImageFile]:
    """Pillow's reader of one format. `Image.open` has size limits that only warn; ours refuse."""
    from PIL import BmpImagePlugin, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin

    return {
        JPEG: JpegImagePlugin.jpeg_factory,
        PNG: PngImagePlugin.PngImageFile,
        WEBP: WebPImagePlugin.WebPImageFile,
        TIFF: TiffImagePlugin.TiffImageFile,
        BMP: BmpImagePlugin.BmpImageFile,
    }[kind]


def _page(data: bytes, name: object, max_pixels: int) -> Page:
    """The header of a TIFF's one picture, its size checked. Raises ImageError."""
    from mocoop.data.tiff import read_page

    page = read_page(data, name)
    _check_size(page.size, name, max_pixels)
    return page


def _decode_tiff(data: bytes, name: object, max_pixels: int, reading: Reading, remark: Remark) -> Image.Image:
    from PIL import Image

    page = _page(data, name, max_pixels)
    if not page.is_plain:
        image = _rendered(_tiff_raster(page, data, name, reading.bands, remark), name, reading, remark)
        return _turned(image, page.orientation)
    try:
        plain = _opened(data, TIFF, name, max_pixels)
        plain.seek(page.index)
    except ImageError:
        raise
    except (SyntaxError, ValueError) as error:  # Pillow knows no such combination of tags
        raise ImageError(name, f"{page.describe()} is not read: {error}", imageformats.RESCALE_HINT) from error
    plain.load()
    image = _convert(_upright(plain), name, reading, remark)
    if reading.bands is None:
        return image
    chosen = _chosen(reading.bands, page.samples, name)
    bands = [image.getchannel(min(band, 3) - 1) for band in chosen]
    return Image.merge("RGB", bands if len(bands) == 3 else bands * 3)


def _tiff_raster(page: Page, data: bytes, name: object, bands: tuple[int, ...] | None, remark: Remark) -> Raster:
    """The values of the bands asked for, or of the first three; extra samples are bands. Raises ImageError."""
    from mocoop.data.tiff import read_bands

    if bands is None and page.samples > 3:
        remark(MANY)
    if bands is None and page.samples == 2:
        remark(TWO)
    first = (1,) if page.samples < 3 else (1, 2, 3)
    return read_bands(page, data, first if bands is None else _chosen(bands, page.samples, name), name)


def _chosen(bands: tuple[int, ...], samples: int, name: object) -> tuple[int, ...]:
    if max(bands) > samples:
        message = f"it has {samples} band{'s' * (samples != 1)}, and band {max(bands)} is asked for"
        raise ImageError(name, message, "choose others with --bands, or leave the file out")
    return bands


def _rendered(raster: Raster, name: object, reading: Reading, remark: Remark) -> Image.Image:
    """Values as an RGB image by the data set's rule. Raises ImageError if the rule does not say their scale."""
    from PIL import Image

    if raster.values.dtype.kind == "f" and not (reading.limits or reading.top) and (known := raster.known()).size:
        message = f"floating-point values from {known.min():g} to {known.max():g}, whose scale is not known"
        raise ImageError(name, message, "say it with --range LOW,HIGH")
    pixels, remarks = eight_bits(raster, reading)
    for kind in remarks:
        remark(kind)
    return Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[..., 0]).convert("RGB")


def is_deep_png(data: bytes) -> bool:
    """Whether the first bytes of a PNG say that it has 16 bits a channel."""
    return data[12:16] == b"IHDR" and data[24:25] == b"\x10"


def _deep_png(image: ImageFile.ImageFile, data: bytes) -> Raster:
    """All 16 bits of a PNG, of which Pillow keeps the high byte only: it is unpacked once for each byte."""
    import numpy as np

    if image.mode == "I;16":
        seen = image.info.get("transparency")  # loading may change it
        image.load()
        values = np.asarray(image).astype(np.uint16)[..., None]
    else:
        seen = image.info.get("transparency")
        high, low = (_png_bytes(data, byte) for byte in (0, 1))
        values = high.astype(np.uint16) << 8 | low
    depth = 3 if values.shape[2] >= 3 else 1
    colours, alpha = values[..., :depth], values[..., depth] if values.shape[2] > depth else None
    if alpha is None and isinstance(seen, (int, tuple)):  # one colour that stands for transparent
        alpha = np.where((colours == np.array(seen, np.uint16)).all(axis=-1), 0, 65535).astype(np.uint16)
    return Raster(colours, alpha)


def _png_bytes(data: bytes, byte: int) -> np.ndarray:
    """The high (0) or low (1) bytes of a 16-bit PNG, (H, W, channels) uint8."""
    import numpy as np
    from PIL import PngImagePlugin

    image = PngImagePlugin.PngImageFile(io.BytesIO(data))
    grey_and_alpha = data[25] == _GREY_AND_ALPHA  # unpacked as RGBA of 8 bits: as many bytes a pixel
    if grey_and_alpha:
        image._mode, raw = "RGBA", "RGBA"
    else:
        raw = f"{image.mode};16{'BL'[byte]}"
    image.tile = [tile._replace(args=raw) for tile in image.tile]
    image.info.pop("transparency", None)
    image.load()
    found = np.asarray(image)
    return found[..., byte::2] if grey_and_alpha else found


def _check_size(size: tuple[int, int], name: object, max_pixels: int) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise ImageError(name, f"{width} x {height} pixels", "replace the file")
    if width * height > max_pixels:
        message = f"{width} x {height} pixels, more than {max_pixels:,}"
        raise ImageError(name, message, _SMALLER)
    if max(size) > MAX_ASPECT * min(size):
        message = f"{width} x {height} pixels: a strip more than {MAX_ASPECT} times as long as wide"
        raise ImageError(name, message, "cut it into tiles")


def _several_frames(name: object, kind: Kind) -> ImageError:
    what = "a TIFF of several pages" if kind is TIFF else f"an animated {kind.name}"
    return ImageError(name, what, "save the one you want alone, for example: magick 'IN[0]' OUT.png")


def _check_png_whole(data: bytes) -> None:
    """Check a PNG by its chunks' checksums: Pillow silently decodes one whose last bytes are missing."""
    from PIL import PngImagePlugin

    if _PNG_END not in data:
        raise OSError("the end of the file is missing")
    PngImagePlugin.PngImageFile(io.BytesIO(data)).verify()


def _upright(image: Image.Image, *, like: Image.Image | None = None) -> Image.Image:
    """The picture rotated by its EXIF orientation, or that of another; unreadable EXIF data is ignored."""
    from PIL import ExifTags

    try:
        orientation = (like or image).getexif().get(ExifTags.Base.Orientation)
    except _DAMAGE:
        return image
    return _turned(image, orientation)


def _turned(image: Image.Image, orientation: object) -> Image.Image:
    from PIL import Image

    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
    turn = turns.get(orientation) if isinstance(orientation, int) else None
    return image if turn is None else image.transpose(turn)


def _convert(image: Image.Image, name: object, reading: Reading, remark: Remark) -> Image.Image:
    import numpy as np
    from PIL import Image

    if image.mode.startswith("I;16"):
        return _rendered(Raster(np.asarray(image).astype(np.uint16)[..., None]), name, reading, remark)
    if image.mode in _REFUSED_MODES:
        raise ImageError(name, f"pixels in {_REFUSED_MODES[image.mode]}", imageformats.RESCALE_HINT)
    if image.has_transparency_data:
        straight = image.convert("LA") if image.mode == "La" else image  # Pillow cannot convert La to RGBA
        seen = straight.convert("RGBA")
        if seen.getextrema()[3][1] < NEARLY:  # type: ignore[index,misc]  # one pair a channel
            remark(CLEAR)
        paper = Image.new("RGBA", image.size, _WHITE)
        paper.alpha_composite(seen)
        image = paper
    image = image.convert("RGB")
    if max(high for _, high in image.getextrema()) < NEARLY:  # type: ignore[misc]  # one pair a channel
        remark(BLACK)
    return image
