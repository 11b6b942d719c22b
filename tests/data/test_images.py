"""Decoding: every readable kind gives the right pixels, every other file an ImageError that says what to do."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import textwrap
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from attacks import bomb_png, png_chunk
from datafiles import encoded, pixels, put_image
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mocoop.data import imageformats, images
from mocoop.data.images import list_images, open_image, to_rgb
from mocoop.data.reading import BLACK, CLEAR, CUT, Reading
from mocoop.errors import DataError, ImageError


def png(rows: np.ndarray, bits: int, colour: int) -> bytes:
    """A PNG written from the format's description, for the kinds that Pillow does not write."""
    height, width = rows.shape[:2]
    lines = b"".join(b"\0" + row.astype(f">u{bits // 8}").tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", zlib.compress(lines))
        + png_chunk(b"IEND", b"")
    )


def rgb(data: bytes, **options) -> np.ndarray:
    image = open_image(data, **options)
    assert image.mode == "RGB"
    return np.asarray(image)


def ramp16(top: int = 65535) -> np.ndarray:
    """(64, 64) uint16 from 0 to `top`."""
    return np.linspace(0, top, 64 * 64).round().astype(np.uint16).reshape(64, 64)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"big_tiff": True}),
        ("BMP", {}),
    ],
)
def test_lossless_kinds_give_the_pixels_back(kind, options):
    assert (rgb(encoded(pixels(), kind, **options)) == pixels()).all()


@pytest.mark.parametrize(
    ("kind", "options"), [("JPEG", {"quality": 95}), ("JPEG", {"progressive": True}), ("WEBP", {})]
)
def test_lossy_kinds_come_close(kind, options):
    smooth = np.asarray(Image.linear_gradient("L").convert("RGB"))
    assert np.abs(rgb(encoded(smooth, kind, **options)).astype(int) - smooth).mean() < 4


def test_a_picture_is_read_from_a_path_its_bytes_and_an_open_file(tmp_path):
    path = put_image(tmp_path / "a b ü.png")
    expected = np.asarray(open_image(path))
    assert (np.asarray(open_image(str(path))) == expected).all()
    assert (rgb(path.read_bytes()) == expected).all()
    with open(path, "rb") as file:
        assert (np.asarray(open_image(file)) == expected).all()


def test_the_name_does_not_decide_the_format(tmp_path):
    path = tmp_path / "really.jpg"
    path.write_bytes(encoded(pixels(), "PNG"))
    assert (np.asarray(open_image(path)) == pixels()).all()


@pytest.mark.parametrize("mode", ["1", "L", "P"])
def test_grey_bilevel_and_palette(mode):
    image = Image.fromarray(pixels()).convert(mode)
    assert (rgb(encoded(image, "PNG")) == np.asarray(image.convert("RGB"))).all()


def test_cmyk_is_converted():
    red = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    for data in (encoded(red, "JPEG"), encoded(red, "TIFF")):
        assert np.abs(rgb(data).astype(int) - (255, 0, 0)).max() < 8


def test_transparent_parts_lie_on_white():
    image = np.zeros((4, 4, 4), dtype=np.uint8)
    image[:2, :, 3] = 255  # black above, transparent below
    for data in (encoded(image, "PNG"), encoded(image, "WEBP", lossless=True)):
        assert (rgb(data)[:2] == 0).all()
        assert (rgb(data)[2:] == 255).all()
    half = np.dstack([np.zeros((4, 4, 3), np.uint8), np.full((4, 4), 128, np.uint8)])
    assert (rgb(encoded(half, "PNG")) == 127).all()


def test_transparent_palette_and_transparent_colour():
    palette = Image.new("P", (2, 1))
    palette.putpalette([0, 0, 0, 10, 20, 30])
    palette.putdata([0, 1])
    assert rgb(encoded(palette, "PNG", transparency=0)).tolist() == [[[255] * 3, [10, 20, 30]]]
    plain = Image.fromarray(np.array([[[9, 9, 9], [1, 2, 3]]], dtype=np.uint8))
    assert rgb(encoded(plain, "PNG", transparency=(9, 9, 9))).tolist() == [[[255] * 3, [1, 2, 3]]]
    grey = Image.fromarray(np.array([[9, 70]], dtype=np.uint8))
    assert rgb(encoded(grey, "PNG", transparency=9)).tolist() == [[[255] * 3, [70] * 3]]


@pytest.mark.parametrize("mode", ["LA", "La", "RGBA", "RGBa", "PA"])
def test_every_mode_with_alpha_converts(mode):
    assert to_rgb(Image.new(mode, (2, 2))).getpixel((0, 0)) == (255, 255, 255)


def test_sixteen_bits_keep_their_shades():
    """The naive conversion clips: 17 of these 4096 values are left by it."""
    values = ramp16()
    for data in (encoded(values, "PNG"), encoded(values, "TIFF"), png(values, 16, 0)):
        grey = rgb(data)[..., 0]
        assert (grey == values >> 8).all()
        assert len(np.unique(grey)) == 256


def test_sixteen_bit_colour_and_grey_follow_one_rule():
    values = ramp16()
    colour = rgb(png(np.dstack([values] * 3), 16, 2))
    assert (colour == rgb(png(values, 16, 0))).all()
    with_alpha = np.dstack([values, values, values, np.full_like(values, 65535)])
    assert (rgb(png(with_alpha, 16, 6)) == colour).all()


def test_big_endian_sixteen_bit_tiff():
    data = encoded(Image.frombytes("I;16B", (64, 64), ramp16().astype(">u2").tobytes()), "TIFF")
    assert (rgb(data)[..., 0] == ramp16() >> 8).all()


def test_sixteen_bit_tiff_where_zero_is_white():
    data = bytearray(encoded(ramp16(), "TIFF"))
    entry = data.index(struct.pack("<HHIH", 262, 3, 1, 1))
    data[entry + 8] = 0  # PhotometricInterpretation: WhiteIsZero
    assert (rgb(bytes(data))[..., 0] == (65535 - ramp16()) >> 8).all()


def deep_pngs(original: np.ndarray, deepen) -> dict[str, tuple[bytes, np.ndarray]]:
    """16-bit PNGs of the four kinds, with the pixels that the 8-bit original has."""
    grey, wide = original[..., :1], deepen(original)
    full = np.full_like(wide[..., :1], 65535)
    return {
        "grey": (png(wide[..., 0], 16, 0), grey.repeat(3, -1)),
        "grey and alpha": (png(np.dstack([wide[..., :1], full]), 16, 4), grey.repeat(3, -1)),
        "colour": (png(wide, 16, 2), original),
        "colour and alpha": (png(np.dstack([wide, full]), 16, 6), original),
    }


@pytest.mark.parametrize("kind", ["grey", "grey and alpha", "colour", "colour and alpha"])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_sixteen_bit_pictures_of_any_depth_give_the_pixels_of_the_8_bit_original(kind, bits):
    def deepen(original: np.ndarray) -> np.ndarray:
        return np.rint(original.astype(float) * ((1 << bits) - 1) / 255).astype(np.uint16)

    data, expected = deep_pngs(pixels(), deepen)[kind]
    assert (rgb(data, reading=Reading(bits=bits)) == expected).all()


def test_a_picture_that_comes_out_dark_cut_or_clear_is_remarked_on():
    def remarks(data: bytes, reading: Reading = Reading()) -> list[str]:  # noqa: B008
        seen = []
        open_image(data, reading=reading, remark=seen.append)
        return seen

    def twelve(original: np.ndarray) -> np.ndarray:
        return original.astype(np.uint16) << 4

    for data, _ in deep_pngs(pixels(), twelve).values():
        assert remarks(data) == [BLACK]
        assert remarks(data, Reading(bits=12)) == []
        assert remarks(data, Reading(bits=10)) == [CUT]
    assert remarks(encoded(np.zeros((4, 4, 3), np.uint8), "PNG")) == [BLACK]
    clear = np.dstack([pixels(), np.zeros((24, 24), np.uint8)])
    assert remarks(encoded(clear, "PNG")) == remarks(encoded(clear, "WEBP", lossless=True)) == [CLEAR]
    faint = np.dstack([pixels().astype(np.uint16) << 8, np.full((24, 24), 15, np.uint16)])
    assert remarks(png(faint, 16, 6)) == [CLEAR]
    assert remarks(encoded(pixels(), "PNG")) == []


def test_half_transparency_and_a_transparent_colour_of_16_bits():
    colours = np.zeros((4, 4, 3), np.uint16)
    half = np.full((4, 4, 1), 2048, np.uint16)
    assert (rgb(png(np.dstack([colours, half]), 16, 6), reading=Reading(bits=12)) == 127).all()
    data = png(np.array([[[4000, 0, 9], [4095, 0, 0]]], np.uint16), 16, 2)
    keyed = data[:33] + png_chunk(b"tRNS", struct.pack(">HHH", 4000, 0, 9)) + data[33:]
    assert rgb(keyed, reading=Reading(bits=12)).tolist() == [[[255] * 3, [255, 0, 0]]]


@pytest.mark.parametrize("array", [np.ones((4, 4), np.int32), np.ones((4, 4), np.float32)])
def test_deeper_tiffs_are_read_by_a_range(array):
    seen = rgb(encoded(Image.fromarray(array), "TIFF"), reading=Reading(limits=(0, 2)))
    assert (seen == 128).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation(kind, orientation):
    """The four quarters come back where EXIF 2.3 says row 0 and column 0 of the stored picture belong."""
    upright = np.array([[10, 80], [150, 230]], dtype=np.uint8).repeat(16, 0).repeat(32, 1)  # (32, 64)
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: upright.T[::-1],
        7: upright.T[::-1, ::-1],
        8: upright.T[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(np.ascontiguousarray(stored)).convert("RGB")
    seen = rgb(encoded(image, kind, exif=exif))
    assert seen.shape == (32, 64, 3)
    assert np.abs(seen[..., 0].astype(int) - upright).mean() < 5


def test_broken_exif_turns_nothing():
    data = encoded(pixels(), "PNG")
    broken = data[:33] + png_chunk(b"eXIf", b"II*\0\xff\xff\xff\xff") + data[33:]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert (rgb(broken) == pixels()).all()


def test_a_camera_jpeg_with_a_preview_gives_its_first_frame():
    data = encoded(pixels(), "MPO", save_all=True, append_images=[Image.new("RGB", (8, 8))])
    assert rgb(data).shape == (24, 24, 3)


@pytest.mark.parametrize(
    ("kind", "words"), [("TIFF", "several pages"), ("PNG", "animated PNG"), ("WEBP", "animated WebP")]
)
def test_pages_and_animations_are_refused(kind, words):
    data = encoded(pixels(0), kind, save_all=True, append_images=[Image.fromarray(pixels(1))])
    with pytest.raises(ImageError, match=words + r".*magick"):
        open_image(data)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("BMP", {}),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_file_cut_anywhere_is_refused(kind, options):
    data = encoded(pixels(), kind, **options)
    for left in [*range(0, len(data), max(1, len(data) // 40)), *range(len(data) - 24, len(data))]:
        with pytest.raises(ImageError):
            open_image(data[:left])


def test_a_flipped_bit_in_a_png_is_found():
    data = bytearray(encoded(pixels(), "PNG"))
    data[len(data) // 2] ^= 4
    with pytest.raises(ImageError, match="damaged or cut PNG"):
        open_image(bytes(data))


SIGNS = {
    "GIF": encoded(pixels(), "GIF"),
    "PNM": encoded(pixels(), "PPM"),
    "ICO": encoded(pixels(), "ICO"),
    "JPEG 2000": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(40),
    "JPEG XL": b"\xff\x0a" + bytes(40),
    "SVG": b"<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg'/>",
    "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    "PDF": b"%PDF-1.7\n",
    "FITS": b"SIMPLE  =                    T" + b" " * 50,
    "DICOM": bytes(128) + b"DICM" + bytes(20),
    "HEIC": b"\0\0\0\x18ftypheic" + bytes(12),
    "AVIF": b"\0\0\0\x18ftypavif" + bytes(12),
    "HDF5": b"\x89HDF\r\n\x1a\n" + bytes(20),
    "web page": b"\n<!DOCTYPE html><html><body>404</body></html>",
    "Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n",
    "ZIP": b"PK\3\4" + bytes(40),
    "text": b"not a picture at all\n",
    "no image format": bytes(range(200, 256)),
}


@pytest.mark.parametrize("name", SIGNS)
def test_other_formats_named_jpg_are_refused_by_name(name, tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(SIGNS[name])
    with pytest.raises(ImageError, match=name) as caught:
        open_image(path)
    assert str(path) in caught.value.message
    assert caught.value.path == path
    assert caught.value.hint


def test_an_empty_file_a_folder_a_pipe_and_a_missing_file(tmp_path):
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(ImageError, match="empty"):
        open_image(tmp_path / "empty.jpg")
    for path in (tmp_path, tmp_path / "none.jpg", "a\0b.jpg"):
        with pytest.raises(ImageError, match="cannot be read"):
            open_image(path)
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(ImageError, match="not a regular file"):
        open_image(tmp_path / "pipe.jpg")


def test_caps_on_pixels_and_bytes(tmp_path):
    data = encoded(pixels(), "PNG")
    with pytest.raises(ImageError, match="24 x 24 pixels, more than 575"):
        open_image(data, max_pixels=575)
    assert open_image(data, max_pixels=576).size == (24, 24)
    path = put_image(tmp_path / "a.png")
    with pytest.raises(ImageError, match="larger than 20 bytes"):
        open_image(path, max_bytes=20)
    with pytest.raises(ImageError, match="more than 575"):
        to_rgb(Image.fromarray(pixels()), max_pixels=575)


def test_tiny_pictures_pass_and_strips_do_not():
    assert rgb(encoded(pixels(0, 1, 1), "PNG")).shape == (1, 1, 3)
    assert rgb(encoded(pixels(0, 1, 100), "PNG")).shape == (1, 100, 3)
    with pytest.raises(ImageError, match="1 x 30000 pixels: a strip"):
        open_image(encoded(Image.new("L", (1, 30000)), "PNG"))


def test_a_bomb_is_refused_from_its_header_before_memory_is_taken(tmp_path):
    """In a process of its own, so that the peak of its memory is the decoder's."""
    Path(tmp_path / "bomb.png").write_bytes(bomb_png(50_000, 50_000))
    jpeg = bytearray(encoded(pixels(), "JPEG"))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", 60_000, 60_000)
    Path(tmp_path / "bomb.jpg").write_bytes(jpeg)
    tiff = bytearray(encoded(Image.new("RGB", (16, 16)), "TIFF"))
    for tag in (256, 257):
        entry = tiff.index(struct.pack("<HHII", tag, 4, 1, 16))
        tiff[entry : entry + 12] = struct.pack("<HHII", tag, 4, 1, 60_000)
    Path(tmp_path / "bomb.tif").write_bytes(tiff)
    webp = bytearray(encoded(pixels(), "WEBP"))
    frame = webp.index(b"\x9d\x01\x2a")
    for name, size in (("bomb.webp", (16000, 8000)), ("bomb2.webp", (16383, 16383))):
        webp[frame + 3 : frame + 7] = struct.pack("<HH", *size)
        Path(tmp_path / name).write_bytes(webp)
    code = """
        import resource, sys
        from mocoop.data.images import open_image
        from mocoop.errors import ImageError
        from PIL import WebPImagePlugin, TiffImagePlugin, JpegImagePlugin, PngImagePlugin
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for path in sys.argv[1:]:
            try:
                open_image(path)
            except ImageError as error:
                assert "more than 100,000,000" in str(error), error
            else:
                raise SystemExit(path + " was opened")
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown < 40_000, f"{grown} kB"
    """
    bombs = sorted(map(str, tmp_path.glob("bomb*")))
    assert len(bombs) == 5
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(code), *bombs]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_a_bomb_leaves_no_warning_behind():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with pytest.raises(ImageError):
            open_image(bomb_png(12_000, 10_000))
    assert seen == []


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    start=st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\x40\0\0\0WEBPVP8 ", b"II*\0\x08\0\0\0"]),
    rest=st.binary(max_size=200),
)
def test_any_bytes_give_a_picture_or_an_image_error(start, rest):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = open_image(start + rest)
        except ImageError:
            return
    assert image.mode == "RGB"


@settings(max_examples=300, deadline=None, derandomize=True)
@given(data=st.data())
def test_damaged_files_give_a_picture_or_an_image_error(data):
    kind = data.draw(st.sampled_from(["JPEG", "PNG", "WEBP", "TIFF"]))
    content = bytearray(encoded(pixels(), kind))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(8, min(len(content) - 1, 400)))] = data.draw(st.integers(0, 255))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            open_image(bytes(content))
        except ImageError:
            return


def test_pillow_running_out_of_memory_is_an_image_error(monkeypatch):
    def exhausted(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(images, "_convert", exhausted)
    with pytest.raises(ImageError, match="not enough memory"):
        open_image(encoded(pixels(), "PNG"))


def test_to_rgb_keeps_the_rules_for_pillow_images():
    assert np.asarray(to_rgb(Image.fromarray(ramp16())))[-1, -1].tolist() == [255, 255, 255]
    with pytest.raises(ImageError, match=r"photo 3: .*floating-point"):
        to_rgb(Image.new("F", (2, 2)), "photo 3")
    cut = Image.open(io.BytesIO(encoded(pixels(), "JPEG")[:-200]))
    with pytest.raises(ImageError, match="cannot be decoded"):
        to_rgb(cut)


def test_list_images_sorts_and_tells_apart(tmp_path):
    for name in (
        "IMG_0001",
        "e.jpg_large",
        "d.bmp",
        "b.JPG",
        "a.png",
        "c.tiff",
        "sub/z.webp",
        "B.jpeg",
        ".hidden.png",
        ".git/x.png",
    ):
        put_image(tmp_path / name)
    for name in ("old.gif", "scan.DCM", "notes.txt", "Thumbs.db"):
        (tmp_path / name).touch()
    found = list_images(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in found.images] == [
        "B.jpeg",
        "a.png",
        "b.JPG",
        "c.tiff",
        "d.bmp",
        "sub/z.webp",
    ]
    assert [path.name for path in found.refused] == ["old.gif", "scan.DCM"]
    assert [path.name for path in found.unnamed] == ["IMG_0001", "e.jpg_large"]
    with pytest.raises(DataError, match="cannot read"):
        list_images(tmp_path / "none")


def test_list_images_does_not_walk_in_circles(tmp_path):
    put_image(tmp_path / "a" / "1.png")
    (tmp_path / "a" / "again").symlink_to(tmp_path, target_is_directory=True)
    assert len(list_images(tmp_path).images) == 1


def test_no_suffix_is_both_read_and_refused():
    assert not imageformats.READ_SUFFIXES & imageformats.REFUSED_SUFFIXES
