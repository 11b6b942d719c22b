"""Detecting file formats by their first bytes and by their extension.

Five formats are read: JPEG, PNG, WebP, TIFF and BMP. Others are recognised only so that they can be refused by name,
with a way to convert them. The extension decides whether a folder scan lists a file; only its first bytes decide how
it is read.

Decoding is not here: see `mocoop.data.images`.
"""

from __future__ import annotations

from typing import NamedTuple

READABLE = "JPEG, PNG, WebP, BMP and single-page TIFF are read"
READ_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".dib"})
REFUSED_SUFFIXES = frozenset(
    {
        ".apng",
        ".arw",
        ".avif",
        ".cr2",
        ".cr3",
        ".dcm",
        ".dds",
        ".dicom",
        ".dng",
        ".eps",
        ".exr",
    }
    | {
        ".fit",
        ".fits",
        ".gif",
        ".h5",
        ".hdf",
        ".hdr",
        ".heic",
        ".heif",
        ".ico",
        ".j2k",
        ".jp2",
        ".jxl",
        ".mat",
    }
    | {".nc", ".nef", ".nii", ".npy", ".pbm", ".pcx", ".pdf", ".pgm", ".pnm", ".ppm", ".ps", ".psd", ".qoi"}
    | {".raw", ".sgi", ".svg", ".svgz", ".tga", ".xcf"}
)

OTHER_SUFFIXES = frozenset({".txt", ".csv", ".json", ".jsonl", ".xml", ".db", ".ini", ".md", ".py", ".html", ".log"})

_MAGICK = "convert it to PNG, for example with ImageMagick: magick IN OUT.png"
_GHOSTSCRIPT = _MAGICK + " (with Ghostscript installed)"
_REFETCH = "the download went wrong; fetch it again"
_DJXL = "convert it, for example with libjxl: djxl IN.jxl OUT.png"
_HEIF = "convert it, for example with libheif: heif-convert IN.heic OUT.png"
RESCALE_HINT = (
    "convert it to an 8-bit PNG, with one range for all images, for example with GDAL: "
    "gdal_translate -of PNG -ot Byte -scale LOW HIGH 0 255 IN OUT.png"
)
_NOT_AN_IMAGE = "take the file out, or put the picture itself in its place"


class Kind(NamedTuple):
    """A file format; `hint` says how to convert an unsupported one, and is None for the supported ones."""

    name: str
    hint: str | None = None


JPEG = Kind("JPEG")
PNG = Kind("PNG")
WEBP = Kind("WebP")
TIFF = Kind("TIFF")
BMP = Kind("BMP")
_UNKNOWN = Kind("no image format known here", READABLE)

_SIGNATURES: tuple[tuple[int, bytes, Kind], ...] = (
    (0, b"\xff\xd8\xff", JPEG),
    (0, b"\x89PNG\r\n\x1a\n", PNG),
    (8, b"WEBP", WEBP),  # after "RIFF" and a four-byte length
    (0, b"II*\0", TIFF),
    (0, b"MM\0*", TIFF),
    (0, b"II+\0", TIFF),  # BigTIFF
    (0, b"MM\0+", TIFF),
    (0, b"GIF8", Kind("a GIF", "convert it to PNG, for example: magick 'IN.gif[0]' OUT.png")),
    (0, b"BM", BMP),
    (0, b"%!PS", Kind("PostScript (EPS)", _GHOSTSCRIPT)),
    (0, b"\xc5\xd0\xd3\xc6", Kind("PostScript (EPS)", _GHOSTSCRIPT)),
    (0, b"%PDF", Kind("a PDF", "take the picture out, for example with: pdftoppm -png -r 150 IN.pdf OUT")),
    (0, b"SIMPLE  =", Kind("FITS", "convert it, for example with astropy: fits2bitmap IN.fits -o OUT.png")),
    (128, b"DICM", Kind("DICOM", "convert it with the window you want, for example: dcm2img IN OUT.png")),
    (4, b"ftypavif", Kind("AVIF", _MAGICK)),
    (4, b"ftypavis", Kind("AVIF", _MAGICK)),
    (4, b"ftyphe", Kind("HEIC", _HEIF)),
    (4, b"ftypmif1", Kind("HEIC", _HEIF)),
    (4, b"ftyp", Kind("a film", _NOT_AN_IMAGE)),
    (0, b"\0\0\0\x0cjP  ", Kind("JPEG 2000", RESCALE_HINT)),
    (0, b"\xff\x4f\xff\x51", Kind("JPEG 2000", RESCALE_HINT)),
    (0, b"\0\0\0\x0cJXL ", Kind("JPEG XL", _DJXL)),
    (0, b"\xff\x0a", Kind("JPEG XL", _DJXL)),
    (0, b"\x89HDF", Kind("HDF5 or netCDF", RESCALE_HINT)),
    (0, b"CDF", Kind("netCDF", RESCALE_HINT)),
    (0, b"8BPS", Kind("a Photoshop file", _MAGICK)),
    (0, b"gimp xcf", Kind("a GIMP file", _MAGICK)),
    (0, b"\0\0\1\0", Kind("an icon (ICO)", _MAGICK)),
    (0, b"\x76\x2f\x31\x01", Kind("OpenEXR", _MAGICK)),
    (0, b"#?RADIANCE", Kind("Radiance HDR", _MAGICK)),
    (0, b"qoif", Kind("QOI", _MAGICK)),
    (0, b"DDS ", Kind("DDS", _MAGICK)),
    (0, b"\x93NUMPY", Kind("a NumPy array", "save the array as a PNG first")),
    (0, b"PK\3\4", Kind("a ZIP archive", "unpack it first")),
    (0, b"\x1f\x8b", Kind("gzip data", "unpack it first")),
    (0, b"version https://git-lfs", Kind("a Git LFS pointer", "fetch the pictures: git lfs pull")),
    *((0, b"P%c" % digit, Kind("a PNM", _MAGICK)) for digit in b"1234567"),
)
_MARKUP: tuple[tuple[bytes, Kind], ...] = (
    (b"<svg", Kind("an SVG", "draw it as a PNG, for example with: rsvg-convert -w 512 IN.svg -o OUT.png")),
    (b"<!doctype html", Kind("a web page, not a picture", _REFETCH)),
    (b"<html", Kind("a web page, not a picture", _REFETCH)),
    (b"<?xml", Kind("XML", _NOT_AN_IMAGE)),
)


def sniff(data: bytes) -> Kind:
    """The format according to the first bytes of a file, whatever its name."""
    for offset, magic, kind in _SIGNATURES:
        if data.startswith(magic, offset):
            return kind
    head = data[:1024].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if head.startswith(b"<"):
        for tag, kind in _MARKUP:
            if tag in head:
                return kind
    if head and _is_text(data[:1024]):
        return Kind("text, not a picture", _NOT_AN_IMAGE)
    return _UNKNOWN


def _is_text(head: bytes) -> bool:
    printable = sum(byte in b"\t\n\r" or 32 <= byte < 127 for byte in head)
    return b"\0" not in head and printable > 0.95 * len(head)
