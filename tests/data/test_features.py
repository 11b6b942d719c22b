"""Image features: the right numbers in the right rows. Faults: files that change, unreadable images.

What may happen to the cache is in test_cache.py.
"""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from datafiles import encoded, pixels, put_image
from open_clip.transform import PreprocessCfg, image_transform_v2
from tinyencoder import PLAN, PREPROCESS, TinyEncoder, examples_of, features_of, naive, spoil
from towers import write_clip_folder

from mocoop.backbone.backbone import load_backbone
from mocoop.data.dataset import Example
from mocoop.data.features import image_features, online_views
from mocoop.data.images import open_image
from mocoop.data.views import ViewPlan, centre_view
from mocoop.errors import BackboneError, DataError

ROOT = Path(__file__).parents[2]


# The numbers


@pytest.mark.parametrize("batch_size", [1, 2, 3, 5, 64])
@pytest.mark.parametrize("plan", [ViewPlan(), ViewPlan(1), PLAN, ViewPlan(7, seed=1)], ids=str)
def test_features_are_those_of_one_image_at_a_time(paths, plan, batch_size):
    encoder = TinyEncoder()
    found = features_of(encoder, paths, None, plan=plan, batch_size=batch_size)
    assert found.features.dtype == np.float32
    np.testing.assert_allclose(found.features, naive(encoder, paths, plan), atol=1e-4)
    assert found.kept == tuple(range(7))
    assert found.skipped == ()
    assert max(encoder.batches) <= batch_size
    assert sum(encoder.batches) == 7 * max(1, plan.count)


def test_workers_and_runs_give_the_same_bits(paths):
    results = [features_of(TinyEncoder(), paths, None, workers=workers, batch_size=6) for workers in (1, 4, 1)]
    assert len({result.features.tobytes() for result in results}) == 1


def test_views_depend_neither_on_order_nor_on_other_images(paths):
    encoder = TinyEncoder()
    all_of_them = features_of(encoder, paths, None).features
    np.testing.assert_allclose(features_of(encoder, paths[::-1], None).features, all_of_them[:, ::-1], atol=1e-5)
    np.testing.assert_allclose(features_of(encoder, paths[4:5], None).features, all_of_them[:, 4:5], atol=1e-5)


def test_more_views_keep_the_first_ones(paths):
    few, many = (features_of(TinyEncoder(), paths, None, plan=replace(PLAN, count=count)).features for count in (2, 4))
    np.testing.assert_allclose(many[:2], few, atol=1e-5)
    assert np.abs(many[2:] - few).min(axis=-1).max() > 0.01


@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_progress_counts_images(paths, batch_size):
    heard: list[tuple[int, int]] = []
    features_of(TinyEncoder(), paths, None, batch_size=batch_size, progress=lambda *done: heard.append(done))
    assert heard[-1] == (7, 7)
    assert heard == sorted(heard)


def test_no_images_and_stored_features_are_refused(paths, cache):
    with pytest.raises(DataError, match="no images"):
        image_features(TinyEncoder(), [], cache=cache)
    with pytest.raises(DataError, match="row 3 is a stored feature"):
        image_features(TinyEncoder(), [Example(paths[0], 0), Example(None, 0, 3)], cache=cache)


def test_a_tower_that_gives_no_numbers_is_refused(paths, cache):
    with pytest.raises(BackboneError, match=r"features of .*0\.png are not finite"):
        features_of(TinyEncoder(spoil=True), paths, cache)
    wrong = TinyEncoder()
    wrong.embed_dim = 6
    with pytest.raises(BackboneError, match="shape"):
        features_of(wrong, paths, cache)
    assert cache.entries() == ()


@pytest.mark.parametrize("which", ["local", "miniclip"])
def test_a_real_backbone(paths, cache, tmp_path, which):
    """Centre views through open_clip's own transform and tower; other weights miss."""
    name = "miniclip" if which == "miniclip" else f"local-dir:{write_clip_folder(tmp_path / 'model')}"
    backbone = load_backbone(name, device="cpu", precision="float32")
    preprocess = backbone.preprocess
    config = PreprocessCfg(preprocess.size, "RGB", preprocess.mean, preprocess.std, preprocess.interpolation)
    transform = image_transform_v2(config, is_train=False)
    examples = examples_of(paths)
    found = image_features(backbone, examples, cache=cache)
    pictures = torch.stack([transform(open_image(path)) for path in paths])
    with torch.no_grad():
        expected = backbone.model.encode_image(pictures)
    np.testing.assert_allclose(found.features[0], expected, atol=1e-5)
    with torch.no_grad():
        next(backbone.model.visual.parameters()).view(-1)[0] += 5
    backbone.weights_sha256 = "0" * 64
    changed = image_features(backbone, examples, cache=cache)
    assert len(cache.entries()) == 2
    assert np.abs(changed.features - found.features).max() > 1e-3


# The key


def test_the_second_time_nothing_is_encoded(paths, cache):
    first, second = TinyEncoder(), TinyEncoder()
    made, read = features_of(first, paths, cache), features_of(second, paths, cache)
    assert first.batches
    assert not second.batches
    for result in (made, read):
        assert isinstance(result.features, np.memmap)
        assert not result.features.flags.writeable
    np.testing.assert_array_equal(made.features, features_of(TinyEncoder(), paths, None).features)
    np.testing.assert_array_equal(made.features, read.features)


def test_features_without_a_cache_are_read_only_too(paths):
    assert not features_of(TinyEncoder(), paths, None).features.flags.writeable


@pytest.mark.parametrize(
    "change",
    [
        {"encoder": TinyEncoder(seed=1)},
        {"encoder": TinyEncoder(width=6)},
        {"plan": ViewPlan()},
        {"plan": replace(PLAN, count=2)},
        {"plan": replace(PLAN, seed=6)},
        {"plan": replace(PLAN, scale=(0.3, 0.8))},
    ],
    ids=["weights", "width", "centre", "count", "seed", "scale"],
)
def test_whatever_changes_the_numbers_misses(paths, cache, change):
    features_of(TinyEncoder(), paths, cache)
    encoder = change.pop("encoder", TinyEncoder())
    encoder.batches.clear()
    features_of(encoder, paths, cache, **change)
    assert encoder.batches
    assert len(cache.entries()) == 2


def test_another_preprocessing_misses(paths, cache):
    features_of(TinyEncoder(), paths, cache)
    encoder = TinyEncoder()
    encoder.preprocess = replace(PREPROCESS, interpolation="bilinear")
    features_of(encoder, paths, cache)
    assert encoder.batches


def test_order_and_number_of_images_are_in_the_key(paths, cache):
    features_of(TinyEncoder(), paths, cache)
    for chosen in (paths[::-1], paths[:-1], [*paths, paths[0]]):
        encoder = TinyEncoder()
        found = features_of(encoder, chosen, cache)
        assert encoder.batches
        np.testing.assert_allclose(found.features, naive(encoder, chosen, PLAN), atol=1e-4)


def test_a_centre_view_does_not_depend_on_the_view_seed(paths, cache):
    features_of(TinyEncoder(), paths, cache, plan=ViewPlan(0, seed=1))
    encoder = TinyEncoder()
    features_of(encoder, paths, cache, plan=ViewPlan(0, seed=2))
    assert not encoder.batches


def test_a_file_of_the_same_name_size_and_time_misses(tmp_path, cache):
    path = tmp_path / "image.png"
    path.write_bytes(encoded(pixels(0, 20, 20), "PNG", compress_level=0))
    before, old = os.stat(path), features_of(TinyEncoder(), [path], cache)
    path.write_bytes(encoded(pixels(1, 20, 20), "PNG", compress_level=0))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = os.stat(path)
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    encoder = TinyEncoder()
    new = features_of(encoder, [path], cache)
    assert encoder.batches
    assert np.abs(new.features - old.features).max() > 0.1


def test_a_renamed_copy_hits(paths, cache, tmp_path):
    features_of(TinyEncoder(), paths, cache)
    copies = [Path(shutil.copy(path, tmp_path / f"copy of {path.name}")) for path in paths]
    encoder = TinyEncoder()
    features_of(encoder, copies, cache)
    assert not encoder.batches


def test_a_file_that_changes_while_it_is_encoded_is_refused(paths, cache):
    encoder = TinyEncoder(before_batch=lambda: paths[6].write_bytes(encoded(pixels(99), "PNG")))
    with pytest.raises(DataError, match=r"6\.png changed while"):
        features_of(encoder, paths, cache, batch_size=3, workers=1)
    assert cache.entries() == ()


# Bad images


def test_fail_names_every_bad_image(paths, cache):
    bad = [spoil(paths[1]), spoil(paths[5])]
    paths[3].unlink()
    encoder = TinyEncoder()
    with pytest.raises(DataError, match="3 of 7 images cannot be read") as caught:
        features_of(encoder, paths, cache, batch_size=3, workers=1)
    assert all(str(path) in caught.value.message for path in [*bad, paths[3]])
    assert caught.value.hint is not None
    assert "--on-bad-image skip" in caught.value.hint
    assert encoder.batches == [3], "once it is to fail, nothing more is encoded"
    assert cache.entries() == ()


# Many images, in blocks


@pytest.fixture
def blocks(monkeypatch):
    """Two images a block of three views, or six of one."""
    monkeypatch.setattr("mocoop.data.features.BLOCK", 6)


@pytest.mark.parametrize(("plan", "batch_size"), [(ViewPlan(), 2), (PLAN, 2), (PLAN, 7)], ids=str)
def test_blocks_are_put_together_to_the_same_bits_and_leave_nothing(paths, cache, blocks, plan, batch_size):
    heard: list[tuple[int, int]] = []
    encoder, options = (
        TinyEncoder(),
        {"plan": plan, "batch_size": batch_size, "progress": lambda *done: heard.append(done)},
    )
    found = features_of(encoder, paths, cache, **options).features
    assert isinstance(found, np.memmap)
    np.testing.assert_array_equal(
        found, features_of(TinyEncoder(), paths, None, plan=plan, batch_size=batch_size).features
    )
    assert heard == sorted(heard)
    assert heard[-1] == (7, 7)
    assert len(cache.entries()) == 1
    before = list(encoder.batches)
    features_of(encoder, paths, cache, **options)
    assert encoder.batches == before


def test_blocks_leave_bad_images_out(paths, cache, blocks):
    for place in (0, 1, 4):  # a whole block, and one of another
        spoil(paths[place])
    found = features_of(TinyEncoder(), paths, cache, on_bad_image="skip", batch_size=2)
    assert found.kept == (2, 3, 5, 6)
    assert [path for path, _ in found.skipped] == [paths[0], paths[1], paths[4]]
    good = [paths[place] for place in found.kept]
    np.testing.assert_allclose(found.features, features_of(TinyEncoder(), good, None).features, atol=1e-5)
    with pytest.raises(DataError, match="3 of 7 images"):
        features_of(TinyEncoder(), paths, cache, batch_size=2)


def test_after_a_bad_image_the_blocks_that_follow_are_only_decoded(paths, cache, blocks):
    encoder = TinyEncoder()
    for place in (1, 6):
        spoil(paths[place])
    with pytest.raises(DataError, match=r"2 of 7 images cannot be read: .*1\.jpeg.*6\.png"):
        features_of(encoder, paths, cache, batch_size=2)
    assert sum(encoder.batches) == 3  # the views of the other image of the first block
    for place in (1, 6):
        paths[place].write_bytes(paths[0].read_bytes())
    features_of(encoder, paths, cache, batch_size=2)


def test_fail_names_twenty_of_many(tmp_path):
    missing = [tmp_path / f"{number:02d}.png" for number in range(25)]
    with pytest.raises(DataError) as caught:
        features_of(TinyEncoder(), [put_image(tmp_path / "good.png"), *missing], None)
    message = caught.value.message
    assert message.startswith("25 of 26 images cannot be read")
    assert message.endswith("; and 5 more")
    assert message.count(str(tmp_path)) == 20


@pytest.mark.parametrize("cached", [True, False])
def test_skip_leaves_bad_images_out(paths, cache, cached):
    bad = [spoil(paths[0]), spoil(paths[4])]
    for _ in range(2):
        found = features_of(TinyEncoder(), paths, cache if cached else None, on_bad_image="skip", batch_size=4)
        assert found.kept == (1, 2, 3, 5, 6)
        assert [path for path, _ in found.skipped] == bad
        assert all(why and str(path) not in why for path, why in found.skipped)
        good = [paths[place] for place in found.kept]
        np.testing.assert_allclose(found.features, naive(TinyEncoder(), good, PLAN), atol=1e-4)


def test_fail_after_skip_still_fails(paths, cache):
    spoil(paths[2])
    features_of(TinyEncoder(), paths, cache, on_bad_image="skip")
    encoder = TinyEncoder()
    with pytest.raises(DataError, match=r"1 of 7 images cannot be read: .*2\.webp"):
        features_of(encoder, paths, cache)
    assert not encoder.batches


def test_only_bad_images_is_an_error_even_under_skip(paths, cache):
    for path in paths:
        spoil(path)
    for used in (cache, None):
        with pytest.raises(DataError, match="7 of 7 images cannot be read"):
            features_of(TinyEncoder(), paths, used, on_bad_image="skip")


def test_an_image_that_can_be_read_again_is_taken_in(paths, cache, monkeypatch):
    """The same bytes: what failed was the reading, not the file."""
    real = open_image

    def starved(source: bytes, *, name: object, **options: object) -> object:
        if name == paths[2]:
            return real(b"", name=name)
        return real(source, name=name, **options)

    with monkeypatch.context() as patch:
        patch.setattr("mocoop.data.features.open_image", starved)
        assert features_of(TinyEncoder(), paths, cache, on_bad_image="skip").kept == (0, 1, 3, 4, 5, 6)
    assert features_of(TinyEncoder(), paths, cache, on_bad_image="skip").kept == tuple(range(7))
    assert features_of(TinyEncoder(), paths, cache).kept == tuple(range(7))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
def test_what_is_not_a_file_does_not_hang(paths, cache, tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    strange = [tmp_path / "pipe.png", tmp_path]
    found = features_of(TinyEncoder(), [*paths, *strange], cache, on_bad_image="skip")
    assert found.kept == tuple(range(7))
    assert [why for _, why in found.skipped] == ["not a file (give the path of an image)"] * 2


# Views in the loop


def test_online_views_are_fresh_and_can_be_taken_again(paths):
    examples = examples_of(paths)
    first = online_views(examples, PREPROCESS, seed=3, epoch=2, scale=(0.2, 1.0), workers=4)
    assert first.shape == (7, 3, 16, 16)
    assert first.dtype == torch.float32
    assert torch.equal(first, online_views(examples, PREPROCESS, 3, 2, (0.2, 1.0), workers=1))
    assert torch.equal(first[[4, 1]], online_views([examples[4], examples[1]], PREPROCESS, 3, 2, (0.2, 1.0)))
    for seed, epoch in ((3, 3), (4, 2)):
        other = online_views(examples, PREPROCESS, seed, epoch, (0.2, 1.0))
        assert (other - first).abs().amax(dim=(1, 2, 3)).min() > 0.1


def test_the_views_of_epochs_are_the_cached_views(paths):
    """V = epochs is the same protocol, cheaper."""
    encoder = TinyEncoder()
    cached = features_of(encoder, paths, None, plan=PLAN).features
    for epoch in range(PLAN.count):
        online = encoder.encode_images(online_views(examples_of(paths), PREPROCESS, PLAN.seed, epoch, PLAN.scale))
        np.testing.assert_allclose(cached[epoch], online, atol=1e-5)


def test_online_views_name_a_bad_image(paths):
    spoil(paths[3])
    with pytest.raises(DataError, match=r"3\.png"):
        online_views(examples_of(paths), PREPROCESS, 0, 0)


# Memory


def test_decoded_images_do_not_pile_up(tmp_path, monkeypatch):
    """While a slow encoder works the threads run ahead by one batch and no further."""
    path, batch, drawn, ahead = put_image(tmp_path / "image.png"), 5, [], []

    def draw(*given) -> np.ndarray:
        drawn.append(1)
        return centre_view(*given)

    def slow() -> None:
        time.sleep(0.05)
        ahead.append(len(drawn) - batch * len(encoder.batches))

    monkeypatch.setattr("mocoop.data.features.centre_view", draw)
    encoder = TinyEncoder(before_batch=slow)
    image_features(encoder, examples_of([path] * 60), cache=None, batch_size=batch, workers=4)
    assert len(drawn) == 60
    assert batch < max(ahead) <= 2 * batch, "the batch being encoded and the next one"
