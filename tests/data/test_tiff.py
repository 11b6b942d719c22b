"""TIFFs of many bands, depths and layouts give the pixels of the 8-bit RGB original; others are refused in words."""

from __future__ import annotations

import io
import itertools
import struct
import sys
import zlib

import numpy as np
import pytest
import tifffile
from datafiles import encoded, pixels
from geotiffs import KINDS, cloud_optimised, four_bands, reflectance, thirteen_bands, tiff, twelve_bits
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mocoop.data import tiff as tiff_module
from mocoop.data.images import open_image
from mocoop.data.reading import MANY, TWO, Reading
from mocoop.errors import ImageError

READING = Reading(bits=12, top=1.0)


def rgb(data: bytes, reading: Reading = READING, remarks: list[str] | None = None) -> np.ndarray:
    image = open_image(data, reading=reading, remark=(remarks if remarks is not None else []).append)
    assert image.mode == "RGB"
    return np.asarray(image)


@pytest.mark.parametrize("kind", KINDS)
def test_the_pixels_are_those_of_the_rgb_original(kind):
    make, options = KINDS[kind]
    original = pixels(3, 50, 40)
    reading = Reading(bands=(4, 3, 2), bits=12) if options else READING
    assert (rgb(make(original), reading) == original).all()


def test_a_fourth_band_flagged_as_alpha_is_dropped_and_remarked_on():
    original, remarks = pixels(), []
    assert (rgb(four_bands(original), remarks=remarks) == original).all()
    assert remarks == [MANY]
    with_alpha = Image.fromarray(np.dstack([original, np.zeros_like(original[..., 0])]))
    assert (rgb(encoded(with_alpha, "PNG")) == 255).all()  # in a PNG it is transparency


def test_bands_are_chosen_by_their_number():
    original = pixels()
    data = four_bands(original)
    assert (rgb(data, Reading(bands=(3, 2, 1))) == original[..., ::-1]).all()
    assert (rgb(data, Reading(bands=(4,))) == (255 - original.max(axis=-1))[..., None]).all()
    assert (rgb(encoded(original, "TIFF"), Reading(bands=(3, 1, 2))) == original[..., [2, 0, 1]]).all()
    with pytest.raises(ImageError, match=r"4 bands, and band 5 is asked for.*--bands"):
        rgb(data, Reading(bands=(5, 1, 2)))
    with pytest.raises(ImageError, match=r"1 band, and band 4 is asked for"):
        rgb(encoded(original[..., 0], "TIFF"), Reading(bands=(4, 3, 2)))


def test_of_two_bands_the_first_is_grey():
    original, remarks = pixels()[..., :2], []
    data = tiff(original, photometric="minisblack", planarconfig="contig")
    assert (rgb(data, remarks=remarks) == original[..., :1]).all()
    assert remarks == [TWO]


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "uint32", "float32", "float64"])
@pytest.mark.parametrize("samples", [1, 3, 4, 13])
def test_every_layout_and_compression(dtype, samples):
    values = np.random.default_rng(0).integers(0, 256, (50, 37, samples)).astype(dtype)
    expected = values[..., :3] if samples >= 3 else values[..., [0, 0, 0]]
    packings = [("deflate", True), ("deflate", False), ("lzw", True), ("zstd", False), ("packbits", False)]
    layouts = itertools.product([(None, False), ("lzma", False), *packings], (None, (32, 16)), (False, True))
    orders = itertools.cycle([("<", False), (">", True), ("<", True), (">", False), (">", True)])
    for ((pack, predict), tile, planes), (order, big) in zip(layouts, orders, strict=False):
        options = {
            "photometric": "rgb" if samples in (3, 4) else "minisblack",
            "compression": pack,
            "predictor": (3 if dtype.startswith("float") else True) if predict else None,
            "tile": tile,
            "byteorder": order,
            "bigtiff": big,
            **({"planarconfig": "separate" if planes else "contig"} if samples > 1 else {}),
            **({"extrasamples": ["unassalpha"]} if samples == 4 else {}),
        }
        laid = values[..., 0] if samples == 1 else np.moveaxis(values, -1, 0) if planes else values
        got = rgb(tiff(np.ascontiguousarray(laid), **options), Reading(bits=8, top=255.0))
        assert (got == expected).all(), options


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_lerc(dtype):
    pytest.importorskip("imagecodecs")
    values = pixels(1, 40, 40).astype(dtype)
    data = tiff(values, photometric="rgb", compression="lerc", byteorder="<")
    assert (rgb(data, Reading(bits=8, top=255.0)) == values).all()


def test_lerc_without_imagecodecs_says_what_to_install(monkeypatch):
    pytest.importorskip("imagecodecs")
    data = tiff(pixels(), photometric="rgb", compression="lerc", byteorder="<")
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    with pytest.raises(ImageError, match=r"3 bands of 8 bits .*LERC.* needs a package \(pip install imagecodecs\)"):
        rgb(data)


def test_orientation_of_a_file_of_many_bands():
    original = pixels(0, 20, 30)
    data = four_bands(original, extratags=[(274, 3, 1, 6, True)])
    assert (rgb(data) == np.rot90(original, -1)).all()


def test_no_data_and_what_is_no_number_are_black_and_do_not_count():
    values = np.full((20, 20, 3), 0.5, np.float32)
    values[:5] = -9999
    values[5:7] = np.nan
    seen = rgb(tiff(values, photometric="rgb", extratags=[(42113, 2, 0, "-9999", True)]))
    assert (seen[:7] == 0).all()
    assert (seen[7:] == 128).all()


def put(data: bytes, changes: dict[int, int]) -> bytes:
    """A little-endian TIFF with the (first) values of some tags changed."""
    changed = bytearray(data)
    for tag, value in changes.items():
        found = tifffile.TiffFile(io.BytesIO(data)).pages[0].tags[tag]
        struct.pack_into({3: "<H", 4: "<I"}[found.dtype], changed, found.valueoffset, value)
    return bytes(changed)


def test_tiles_that_a_sparse_file_leaves_out_are_no_data():
    data = tiff(np.full((32, 32, 4), 200, np.uint8), photometric="rgb", tile=(16, 16), metadata=None)
    seen = rgb(put(data, {325: 0}))
    assert (seen[:16, :16] == 0).all()
    assert (seen[16:] == 200).all()


@pytest.mark.parametrize(
    ("values", "options", "said"),
    [
        (np.ones((9, 9, 4), np.complex64), {}, "4 bands of 64 bits (complex numbers"),
        (np.ones((9, 9, 5), np.uint8), {"compression": "jpeg2000"}, "5 bands of 8 bits (unsigned integers; compr"),
        (np.ones((4, 9, 9), np.uint16), {"volumetric": True, "tile": (4, 16, 16)}, "4 layers"),
    ],
)  # fmt: skip
def test_what_is_refused_says_bands_bits_kind_and_the_way_out(values, options, said):
    pytest.importorskip("imagecodecs")
    data = tiff(
        values, photometric="minisblack", **({} if values.shape[0] == 4 else {"planarconfig": "contig"}), **options
    )
    with pytest.raises(ImageError) as caught:
        rgb(data)
    assert said in caught.value.message
    assert "gdal_translate" in str(caught.value.hint)


def test_floats_of_an_unknown_scale_are_refused_with_their_range():
    with pytest.raises(ImageError, match=r"floating-point values from 0.* to .*--range LOW,HIGH"):
        rgb(reflectance(pixels()), Reading())
    halves = rgb(reflectance(pixels()), Reading(limits=(0, 2)))
    assert np.abs(halves.astype(int) - pixels() / 2).max() <= 0.5


def test_several_pages_are_refused_and_overviews_are_none():
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as file:
        for number in range(2):
            file.write(pixels(number), photometric="rgb", metadata=None)
    with pytest.raises(ImageError, match="several pages"):
        rgb(buffer.getvalue())
    assert (rgb(cloud_optimised(pixels(2, 64, 64))) == pixels(2, 64, 64)).all()


def test_a_bomb_in_a_tile_is_cut_at_the_size_of_the_tile(monkeypatch):
    """50 MB of zeros are packed where 1 kB belongs."""
    plain = tiff(np.ones((16, 16, 4), np.uint8), photometric="rgb", compression="deflate", metadata=None)
    bomb = zlib.compress(bytes(50_000_000))
    sizes = []
    real = tiff_module._unpacked
    monkeypatch.setattr(tiff_module, "_unpacked", lambda *given: sizes.append(len(found := real(*given))) or found)
    assert (rgb(put(plain, {273: len(plain), 279: len(bomb)}) + bomb) == 0).all()
    assert sizes == [1024]


def test_more_than_fits_is_refused_by_the_header():
    data = tiff(np.ones((16, 16, 4), np.uint8), photometric="rgb", compression="deflate", metadata=None)
    with pytest.raises(ImageError, match="more than 100,000,000"):
        rgb(put(data, {256: 60_000, 257: 60_000}))
    with pytest.raises(ImageError, match=r"10000 x 9000 pixels: more than 600,000,000 bytes unpacked"):
        rgb(put(data, {256: 10_000, 257: 9_000, 278: 9_000, 277: 60}))
    tiles = tiff(np.ones((16, 16, 4), np.uint8), photometric="rgb", tile=(16, 16), compression="lzw", metadata=None)
    with pytest.raises(ImageError, match=r"bytes unpacked"):
        rgb(put(tiles, {322: 60_000, 323: 60_000}))


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_cut_anywhere_is_refused_or_whole(kind):
    make, options = KINDS[kind]
    original = pixels(0, 40, 40)
    data, reading = make(original), Reading(bands=(4, 3, 2), bits=12) if options else READING
    for left in range(0, len(data) - 1, max(1, len(data) // 60)):
        try:
            seen = rgb(data[:left], reading)
        except ImageError:
            continue
        assert (seen == original).all()  # only an overview or a description is cut off


@settings(max_examples=300, deadline=None, derandomize=True)
@given(data=st.data())
@pytest.mark.filterwarnings("ignore")
def test_damaged_files_give_a_picture_or_an_image_error(data):
    make = data.draw(st.sampled_from([four_bands, thirteen_bands, cloud_optimised, reflectance]))
    content = bytearray(make(pixels(0, 20, 20)))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(4, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        rgb(bytes(content))
    except ImageError:
        return


def test_grey_of_16_bits_where_zero_is_white():
    values = twelve_bits(pixels())[..., 0] << 4
    data = tiff(values, photometric="miniswhite", compression="lzw")
    assert (rgb(data, Reading())[..., 0] == (65535 - values) >> 8).all()
