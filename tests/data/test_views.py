"""Views: the centre view is open_clip's, the random view is torchvision's crop and flip, drawn from the content."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import open_clip
import pytest
import torch
import torchvision.transforms.functional as vision
from datafiles import pixels
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from torchvision.transforms import InterpolationMode, RandomResizedCrop

from mocoop.data.views import INTERPOLATIONS, Preprocess, ViewPlan, centre_view, random_box, random_view, view_rng
from mocoop.errors import BackboneError, ConfigError
from mocoop.files import sha256_bytes

CLIP = Preprocess(size=(24, 24), mean=open_clip.OPENAI_DATASET_MEAN, std=open_clip.OPENAI_DATASET_STD)
CONTENT = sha256_bytes(b"an image")


def picture(height: int, width: int) -> Image.Image:
    return Image.fromarray(pixels(height * 1000 + width, height, width))


@pytest.mark.parametrize("size", [(24, 24), (20, 28)])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("resize_mode", ["shortest", "squash", "longest"])
@pytest.mark.parametrize("shape", [(24, 24), (61, 40), (33, 90), (7, 5), (1, 1), (1, 20)])
def test_the_centre_view_is_open_clips(size, interpolation, resize_mode, shape):
    settings = {"size": size, "interpolation": interpolation, "resize_mode": resize_mode, "fill_color": 128}
    preprocess = Preprocess(mean=(0.1, 0.5, 0.9), std=(0.2, 0.4, 0.8), **settings)
    config = PreprocessCfg(mean=(0.1, 0.5, 0.9), std=(0.2, 0.4, 0.8), **settings)
    view = centre_view(picture(*shape), preprocess)
    assert view.shape == (3, *size)
    assert view.dtype == np.float32
    np.testing.assert_array_equal(view, image_transform_v2(config, is_train=False)(picture(*shape)))


def test_the_centre_view_from_first_principles():
    """Twice as wide as high at the target's height: nothing is resampled, the middle is cut out and normalised."""
    image = picture(24, 48)
    expected = np.asarray(image, dtype=np.float64)[:, 12:36] / 255
    expected = (expected - open_clip.OPENAI_DATASET_MEAN) / open_clip.OPENAI_DATASET_STD
    np.testing.assert_allclose(centre_view(image, CLIP), expected.transpose(2, 0, 1), atol=1e-6)


def test_padding_has_the_fill_colour():
    grey = replace(CLIP, resize_mode="longest", fill_color=77, mean=(0, 0, 0), std=(1, 1, 1))
    np.testing.assert_allclose(centre_view(picture(12, 24), grey)[:, :6], 77 / 255, atol=1e-6)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK"])
def test_other_modes_are_seen_as_rgb(mode):
    """At a size that needs no resampling, so that converting before and after are the same."""
    image = picture(24, 24).convert(mode)
    rgb = image.convert("RGB")
    np.testing.assert_array_equal(centre_view(image, CLIP), centre_view(rgb, CLIP))
    view = random_view(image, CLIP, view_rng(0, 0, CONTENT))
    np.testing.assert_array_equal(view, random_view(rgb, CLIP, view_rng(0, 0, CONTENT)))


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("shape", [(40, 61), (90, 33), (3, 4)])
def test_a_random_view_is_torchvisions_crop_and_flip(interpolation, shape):
    """torchvision crops the same box and flips, for views of both kinds."""
    preprocess = Preprocess((20, 28), (0.1, 0.5, 0.9), (0.2, 0.4, 0.8), interpolation)
    image, flips = picture(*shape), []
    for number in range(12):
        rng = view_rng(7, number, CONTENT)
        left, top, right, bottom = random_box(image.size, rng, (0.08, 1.0))
        flips.append(rng.random() < 0.5)
        box = (top, left, bottom - top, right - left)
        crop = vision.resized_crop(image, *box, [20, 28], InterpolationMode(interpolation))
        crop = vision.hflip(crop) if flips[-1] else crop
        expected = vision.normalize(vision.to_tensor(crop), preprocess.mean, preprocess.std)
        view = random_view(image, preprocess, view_rng(7, number, CONTENT))
        np.testing.assert_allclose(view, expected, atol=1e-6, rtol=0)
    assert set(flips) == {True, False}


def quantiles(boxes: list[tuple[float, float, float, float]], size: tuple[int, int]) -> np.ndarray:
    """Deciles of area, log of the shape, and of the centre's place, (4, 9)."""
    left, top, right, bottom = np.array(boxes, dtype=np.float64).T
    width, height = right - left, bottom - top
    area = width * height / (size[0] * size[1])
    kinds = [area, np.log(width / height), (left + right) / 2 / size[0], (top + bottom) / 2 / size[1]]
    return np.stack([np.quantile(kind, np.arange(1, 10) / 10) for kind in kinds])


@pytest.mark.parametrize("scale", [(0.08, 1.0), (0.5, 0.9)])
def test_boxes_are_distributed_as_torchvisions(scale):
    size = (300, 200)
    rng = np.random.default_rng(0)
    ours = [random_box(size, rng, scale) for _ in range(8000)]
    torch.manual_seed(0)
    blank = torch.zeros(1, size[1], size[0])
    drawn = [RandomResizedCrop.get_params(blank, list(scale), [3 / 4, 4 / 3]) for _ in range(8000)]
    theirs = [(left, top, left + w, top + h) for top, left, h, w in drawn]
    np.testing.assert_allclose(quantiles(ours, size), quantiles(theirs, size), atol=0.03)


@pytest.mark.parametrize("size", [(1, 1), (1, 100), (100, 1), (3, 2), (640, 480)])
def test_boxes_lie_inside_the_image(size):
    rng = np.random.default_rng(1)
    for _ in range(200):
        left, top, right, bottom = random_box(size, rng, (0.08, 1.0))
        assert 0 <= left < right <= size[0]
        assert 0 <= top < bottom <= size[1]


@pytest.mark.parametrize(
    ("size", "box"),
    [((100, 10), (43, 0, 56, 10)), ((10, 100), (0, 43, 10, 56))],
    ids=["wide", "high"],
)
def test_the_fallback_is_the_largest_centred_crop(size, box):
    """Almost the whole area of a long strip fits no shape from 3:4 to 4:3."""
    assert random_box(size, np.random.default_rng(0), (0.99, 1.0)) == box


def test_a_view_depends_on_seed_number_and_content():
    image, other = picture(60, 60), sha256_bytes(b"another image")
    views = {
        (seed, number, content): random_view(image, CLIP, view_rng(seed, number, content)).tobytes()
        for seed in (-1, 0, 1, 2**40)
        for number in (0, 1, 199)
        for content in (CONTENT, other)
    }
    assert len(set(views.values())) == len(views)
    again = random_view(image, CLIP, view_rng(1, 199, other))
    assert again.tobytes() == views[1, 199, other]


@pytest.mark.parametrize(
    ("field", "value"),
    [("interpolation", "lanczos"), ("resize_mode", "fit"), ("size", (0, 224)), ("std", (0.2, 0.0, 0.2))],
)
def test_impossible_preprocessing_is_refused(field, value):
    with pytest.raises(BackboneError, match=f"{field} = "):
        replace(CLIP, **{field: value})


def test_every_known_interpolation_works():
    for interpolation in INTERPOLATIONS:
        preprocess = replace(CLIP, interpolation=interpolation)
        assert centre_view(picture(9, 9), preprocess).shape == (3, 24, 24)
        assert random_view(picture(9, 9), preprocess, view_rng(0, 0, CONTENT)).shape == (3, 24, 24)


@pytest.mark.parametrize("plan", [{"count": -1}, {"scale": (0.0, 1.0)}, {"scale": (0.9, 0.5)}, {"scale": (0.5, 1.1)}])
def test_impossible_plans_are_refused(plan):
    with pytest.raises(ConfigError, match="view"):
        ViewPlan(**plan)
