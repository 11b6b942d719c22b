"""Pictures decoded safely: JPEG, PNG, WebP and single-page TIFF in, an RGB Pillow image out.

Every picture is converted in the same way: rotated according to its EXIF data; transparency composited on white;
CMYK, YCbCr, grey and palettes converted to RGB; 16 bits per channel reduced to 8 by taking the high byte. That rule
does not depend on an image's content, so equal values stay equal across a data set; a 16-bit grey picture that would
become almost black (12-bit data in a 16-bit file) is refused rather than stretched. Colour profiles are not applied.

The size is read from the header before anything is decoded. A file that is truncated, has more than one page or
frame, or has another format is refused with a hint: everything raised here is an ImageError. Resizing and
normalising belong to the backbone's transform, not here.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple, Union

from mocoop.data import imageformats
from mocoop.data.imageformats import JPEG, PNG, TIFF, WEBP, Kind
from mocoop.errors import DataError, ImageError
from mocoop.files import os_error

if TYPE_CHECKING:
    from PIL import Image, ImageFile

MAX_PIXELS = 100_000_000  # 300 MB as RGB
MAX_BYTES = 512 * 1024 * 1024
MAX_ASPECT = 100  # resizing the short side of a longer strip would make a huge image

ImageSource = Union[str, "os.PathLike[str]", bytes, IO[bytes]]

_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
_SMALLER = "cut it into tiles or make it smaller"
_WHITE = (255, 255, 255, 255)
_REFUSED_MODES = {"I": "32-bit integers", "F": "floating-point numbers", "LAB": "the LAB colour space"}
_DARK_16_BIT = 4096  # a 16-bit picture with only smaller values keeps fewer than 16 shades
_MIN_IS_WHITE = 0  # TIFF tag 262, PhotometricInterpretation
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


def open_image(
    source: ImageSource, *, name: object = None, max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES
) -> Image.Image:
    """Decode one picture, given as a path, its bytes or an open binary file, to mode RGB.

    `name` names the picture in messages if `source` is not a path. Raises ImageError.
    """
    from PIL import Image

    name = _name_of(source) if name is None else name
    data = _read(source, name, max_bytes)
    kind = imageformats.sniff(data)
    if kind.hint is not None:
        raise ImageError(name, f"this is {kind.name}", kind.hint)
    try:
        return _decode(data, kind, name, max_pixels)
    except MemoryError as error:
        raise ImageError(name, "not enough memory to decode it", "make the picture smaller") from error
    except Image.DecompressionBombError as error:  # Pillow checks this for WebP and TIFF tiles before we can
        raise ImageError(name, f"more than {max_pixels:,} pixels: {error}", _SMALLER) from error
    except _DAMAGE as error:
        raise ImageError(name, f"damaged or cut {kind.name}: {error}", "replace the file") from error


def to_rgb(image: Image.Image, name: object = "image", *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Convert a Pillow image by the rules of this module: size, orientation, transparency, 16 bits.

    Raises ImageError, which names the picture as `name`.
    """
    _check_size(image.size, name, max_pixels)
    try:
        image.load()
        return _convert(_upright(image), name)
    except _DAMAGE as error:
        raise ImageError(name, f"cannot be decoded: {error}", "replace the file") from error


class FolderImages(NamedTuple):
    """The files of a folder in two sorted lists: images, and files of unsupported image formats."""

    images: tuple[Path, ...]
    refused: tuple[Path, ...]


def list_images(folder: str | os.PathLike[str]) -> FolderImages:
    """The image files of a folder and its subfolders, by extension; hidden files are skipped.

    Links to folders are followed, without cycles. Sorted by the path below `folder`, so the order is the same on
    every file system. Raises DataError for a folder that cannot be read.
    """
    images: list[Path] = []
    refused: list[Path] = []
    _walk(Path(folder), (), images, refused)
    base = len(Path(folder).parts)
    for found in (images, refused):
        found.sort(key=lambda path: path.parts[base:])
    return FolderImages(tuple(images), tuple(refused))


def _walk(folder: Path, above: tuple[str, ...], images: list[Path], refused: list[Path]) -> None:
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
            _walk(folder / entry.name, (*above, real), images, refused)
            continue
        suffix = os.path.splitext(entry.name)[1].lower()
        if suffix in imageformats.READ_SUFFIXES:
            images.append(folder / entry.name)
        elif suffix in imageformats.REFUSED_SUFFIXES:
            refused.append(folder / entry.name)


def _name_of(source: ImageSource) -> object:
    if isinstance(source, (str, os.PathLike)):
        return source
    return getattr(source, "name", "image")


def _read(source: ImageSource, name: object, max_bytes: int) -> bytes:
    try:
        data = _bytes_of(source, max_bytes)
    except OSError as error:
        raise ImageError(name, f"cannot be read: {error.strerror or error}", "check the path") from error
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
    mode = os.stat(source).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # reading a pipe could block forever
        raise OSError("not a regular file")
    with open(source, "rb") as file:
        return file.read(max_bytes + 1)


def _decode(data: bytes, kind: Kind, name: object, max_pixels: int) -> Image.Image:
    image = _opener(kind)(io.BytesIO(data))
    _check_size(image.size, name, max_pixels)
    if kind is not JPEG and getattr(image, "is_animated", False):
        raise _several_frames(name, kind)  # further frames in a JPEG are previews
    if kind is PNG:
        _check_png_whole(data)
    if kind is TIFF:
        _check_tiff_bits(image, name)
    inverted = kind is TIFF and image.mode.startswith("I;16") and _min_is_white(image)
    image.load()
    return _convert(_upright(image), name, inverted=inverted)


def _opener(kind: Kind) -> Callable[[IO[bytes]], ImageFile.ImageFile]:
    """Pillow's reader of one format. `Image.open` has size limits that only warn; ours refuse."""
    from PIL import JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin

    if kind is JPEG:
        return JpegImagePlugin.jpeg_factory
    if kind is PNG:
        return PngImagePlugin.PngImageFile
    return WebPImagePlugin.WebPImageFile if kind is WEBP else TiffImagePlugin.TiffImageFile


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


def _check_tiff_bits(image: Image.Image, name: object) -> None:
    bits = image.tag_v2.get(258, (1,))  # type: ignore[attr-defined]  # BitsPerSample
    if any(depth not in (1, 8, 16) for depth in bits):
        message = f"a TIFF of {'/'.join(map(str, bits))} bits a channel; 8 and 16 are read"
        raise ImageError(name, message, imageformats.RESCALE_HINT)


def _min_is_white(image: Image.Image) -> bool:
    return bool(image.tag_v2.get(262) == _MIN_IS_WHITE)  # type: ignore[attr-defined]


def _upright(image: Image.Image) -> Image.Image:
    """The picture rotated by its EXIF orientation; unreadable EXIF data is ignored."""
    from PIL import ExifTags, Image

    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except _DAMAGE:
        return image
    turn = turns.get(orientation) if isinstance(orientation, int) else None
    return image if turn is None else image.transpose(turn)


def _convert(image: Image.Image, name: object, *, inverted: bool = False) -> Image.Image:
    from PIL import Image

    if image.mode.startswith("I;16"):
        return _from_16_bit_grey(image, name, inverted)
    if image.mode in _REFUSED_MODES:
        raise ImageError(name, f"pixels in {_REFUSED_MODES[image.mode]}", imageformats.RESCALE_HINT)
    if image.has_transparency_data:
        straight = image.convert("LA") if image.mode == "La" else image  # Pillow cannot convert La to RGBA
        paper = Image.new("RGBA", image.size, _WHITE)
        paper.alpha_composite(straight.convert("RGBA"))
        image = paper
    return image.convert("RGB")


def _from_16_bit_grey(image: Image.Image, name: object, inverted: bool) -> Image.Image:
    import numpy as np
    from PIL import Image

    values = np.asarray(image).astype(np.uint16)  # (height, width)
    low, high = int(values.min()), int(values.max())
    if low < high < _DARK_16_BIT:
        factor = 1 << (16 - high.bit_length())
        message = f"16-bit grey with values up to {high} of 65535 only: it would be almost black"
        hint = f"scale all images alike, for example: magick IN -evaluate multiply {factor} OUT.png"
        raise ImageError(name, message, hint)
    if inverted:
        values = 65535 - values
    return Image.fromarray((values >> 8).astype(np.uint8)).convert("RGB")
