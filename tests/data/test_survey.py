"""One rule for depths and bands of a data set: found in its training images, said, the same for each picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from datafiles import encoded, pixels, put_image
from geotiffs import four_bands, thirteen_bands, tiff, twelve_bits
from tinyencoder import TinyEncoder, examples_of

from mocoop.data.cache import FeatureCache
from mocoop.data.features import image_features
from mocoop.data.reading import Reading, parse_bands, parse_range
from mocoop.data.survey import SAMPLE, find_reading
from mocoop.errors import DataError, UsageError


def put(folder: Path, *contents: bytes) -> list[Path]:
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{number}.tif" for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    return paths


@pytest.mark.parametrize(
    ("highest", "bits"), [(255, 8), (256, 10), (1023, 10), (1024, 12), (4095, 12), (4096, 14), (16384, 16), (65535, 16)]
)
def test_the_depth_is_the_smallest_that_holds_the_highest_value_of_all(tmp_path, highest, bits):
    dark, bright = np.full((8, 8), 3, np.uint16), np.full((8, 8), highest, np.uint16)
    reading, notes = find_reading(put(tmp_path, encoded(dark, "PNG"), encoded(bright, "PNG")))
    assert reading == Reading(bits=bits)
    assert len(notes) == 1
    assert f"uint16 use {bits} bits: 0 to {(1 << bits) - 1:g} becomes 0..255" in notes[0]


def test_pictures_of_8_bits_have_no_rule_and_no_note(tmp_path):
    paths = [put_image(tmp_path / f"{n}.png", n) for n in range(3)]
    assert find_reading([*paths, *put(tmp_path / "t", four_bands(pixels()))]) == (Reading(), [])


@pytest.mark.parametrize(("factor", "top"), [(1, 1.0), (255, 255.0), (3000, 4095.0)])
def test_floating_point_values_have_a_scale(tmp_path, factor, top):
    values = (pixels() / 255 * factor).astype(np.float32)
    reading, notes = find_reading(put(tmp_path, tiff(values, photometric="rgb")))
    assert reading == Reading(top=top)
    assert f"a scale up to {top:g}" in notes[0]


def test_negative_values_need_a_range_and_percentile_finds_one(tmp_path):
    values = np.random.default_rng(0).uniform(-25, 5, (50, 50)).astype(np.float32)
    paths = put(tmp_path, tiff(values, photometric="minisblack"))
    with pytest.raises(DataError, match=r"values from -2.* \(float32\) in .*0.tif.*--range LOW,HIGH"):
        find_reading(paths)
    (low, high), notes = (found := find_reading(paths, value_range="percentile"))[0].limits, found[1]
    assert low == pytest.approx(np.percentile(values, 2), abs=0.1)
    assert high == pytest.approx(np.percentile(values, 98), abs=0.1)
    assert "percentile" in notes[0]
    assert find_reading(paths, value_range=(-25.0, 5.0))[0].limits == (-25, 5)


def test_what_a_run_knows_is_kept_and_what_was_asked_for_comes_first(tmp_path):
    paths = put(tmp_path, encoded(twelve_bits(pixels())[..., 0], "PNG"))
    assert find_reading(paths, known=Reading(bits=16))[0] == Reading(bits=16)
    assert find_reading(paths, known=Reading(bands=(1, 2, 3), limits=(0, 9))) == (Reading((1, 2, 3), (0, 9)), [])
    asked = find_reading(paths, known=Reading(bands=(1, 2, 3), limits=(0, 9)), bands=(3, 2, 1), value_range=(1.0, 2.0))
    assert asked[0] == Reading((3, 2, 1), (1, 2))
    assert asked[1] == ["--bands is not used: there is no TIFF among the pictures"]


def test_options_that_change_nothing_are_said(tmp_path):
    found = find_reading([put_image(tmp_path / "1.png")], bands=(1, 2, 3), value_range="percentile")
    assert [note.split(":")[0] for note in found[1]] == ["--bands is not used", "--range is not used"]


def test_at_most_a_sample_is_looked_at(tmp_path, monkeypatch):
    looked = []
    monkeypatch.setattr("mocoop.data.survey._look", lambda path, bands: looked.append(path) or (False, None))
    find_reading([tmp_path / str(n) for n in range(1000)])
    assert len(looked) == SAMPLE
    assert {tmp_path / "0", tmp_path / "999"} <= set(looked)


def test_the_scale_is_one_for_all_pictures_and_part_of_the_key(tmp_path):
    paths = put(tmp_path, *(encoded(twelve_bits(pixels(n))[..., 0], "PNG") for n in range(3)))
    plain = [put_image(tmp_path / f"{n}.png") for n in range(3)]
    for n, path in enumerate(plain):
        path.write_bytes(encoded(pixels(n)[..., 0], "PNG"))
    encoder, cache = TinyEncoder(), FeatureCache(tmp_path / "cache")
    notes: list[str] = []
    reading = find_reading(paths)[0]
    dark = image_features(encoder, examples_of(paths), cache=cache, notice=notes.append)
    assert [note.split(":")[0] for note in notes] == ["nearly black"]
    assert all(str(path) in notes[0] for path in paths)
    seen = image_features(encoder, examples_of(paths), reading=reading, cache=cache, notice=notes.append)
    assert len(notes) == 1
    assert (seen.features == image_features(encoder, examples_of(plain), cache=cache).features).all()
    assert not (seen.features == dark.features).any()
    image_features(encoder, examples_of(paths), cache=cache, notice=notes.append)
    assert notes[1] == notes[0]  # from the cache too


def test_extra_bands_are_noted_once_with_their_number(tmp_path):
    paths = [*put(tmp_path / "a", four_bands(pixels(0)), thirteen_bands(pixels(1)))]
    paths.append(put_image(tmp_path / "b.png"))
    notes: list[str] = []
    image_features(TinyEncoder(), examples_of(paths), reading=Reading(bits=12), cache=None, notice=notes.append)
    assert notes == [
        "2 of 3 pictures have more than 3 bands: bands 1, 2, 3 are used and none is transparency; choose with --bands"
    ]


def test_the_record_gives_the_rule_back():
    for reading in (Reading(), Reading((4, 3, 2), (0.5, 9.0), 12, 1.0)):
        assert Reading.of_record(reading.to_dict()) == reading
    assert Reading.of_record(None) == Reading(bits=16)  # runs from before there was one


@pytest.mark.parametrize("text", ["", "a", "1,2", "0,1,2", "1,2,3,4", "1.5"])
def test_bands_that_cannot_be(text):
    with pytest.raises(UsageError, match="--bands"):
        parse_bands(text)


@pytest.mark.parametrize("text", ["", "3", "5,2", "nan,1", "0,inf", "1,2,3", "percent"])
def test_ranges_that_cannot_be(text):
    with pytest.raises(UsageError, match="--range"):
        parse_range(text)


def test_bands_and_ranges_that_can_be():
    assert (parse_bands("4,3,2"), parse_bands("7"), parse_bands(None)) == ((4, 3, 2), (7,), None)
    assert (parse_range("-25,5.5"), parse_range("percentile"), parse_range(None)) == ((-25, 5.5), "percentile", None)
    assert find_reading([])[0] == Reading()
