"""The choice on features whose best method is known, and what it must never do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from towers import write_clip_folder
from worlds import CLASSNAMES, GROUPS

from mocoop.auto import choose as module
from mocoop.auto.choose import NewClasses, auto, choose, material_of, new_classes
from mocoop.auto.material import Material
from mocoop.auto.race import Clock
from mocoop.backbone.backbone import load_backbone
from mocoop.backbone.hard_features import hard_features
from mocoop.bench.data import open_bench_data
from mocoop.config import Config
from mocoop.errors import MoCoOpError, UsageError
from mocoop.groupfile.groups import dump_groups, parse_groups, save_groups
from mocoop.methods import linear_probe
from mocoop.runs.run import Run
from mocoop.runs.train import TrainingPlan
from mocoop.training.trainer import Listener

config = Material.config
QUICK = ("zero-shot", "zero-shot-ensemble", "gated-zero-shot", "tip-adapter", "linear-probe")
GROUP_FILE = parse_groups(dump_groups(GROUPS))


class Heard(Listener):
    def __init__(self):
        self.notices = []

    def notice(self, text):
        self.notices.append(text)


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    folder = write_clip_folder(tmp_path_factory.mktemp("tiny") / "clip")
    return load_backbone(f"local-dir:{folder}", device="cpu", precision="float32")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """What takes no steps, and a probe that seeks no penalty."""
    monkeypatch.setattr(module, "TRIED", QUICK)
    monkeypatch.setattr(linear_probe, "_POWERS", (0,))
    monkeypatch.setattr(linear_probe, "_SEARCH_STEPS", 0)


def write(path, centres, noise, per_class=5, seed=0, relabel=None):
    """Features around centres (C, D), as an .npz with as many test as training rows."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(centres)), 2 * per_class)
    x = centres[labels] + noise * rng.normal(size=(len(labels), centres.shape[1])) / np.sqrt(centres.shape[1])
    split = np.array(["train", "test"])[np.arange(len(labels)) % 2]
    if relabel is not None:
        labels = np.where(split == "test", relabel(labels), labels)
    np.savez(path, features=x.astype(np.float32), labels=labels, classnames=np.array(CLASSNAMES), split=split)
    return path


def where_words_are_right(backbone):
    """Each class lies where its text does."""
    text = hard_features(backbone, [["a photo of a {}."]], CLASSNAMES)[0][0].numpy()
    return 4 * (text - text.mean(0)) / np.linalg.norm(text - text.mean(0), axis=1, keepdims=True)


def where_words_are_wrong(backbone):
    """Each class lies where another one's text does."""
    return where_words_are_right(backbone)[[1, 2, 3, 4, 5, 0]]


def material(path, backbone, shots=4):
    return material_of(open_bench_data("x", path), backbone, GROUP_FILE, shots, 1, use_cache=False)


def of(choice, name):
    return next(entry for entry in choice.entries if entry.name == name)


def test_where_the_words_are_wrong_the_images_win(backbone, tmp_path):
    heard = Heard()
    given = material(write(tmp_path / "x.npz", where_words_are_wrong(backbone), 2.0), backbone)
    found = choose(given, Clock.start(600), heard)
    assert found.winner.name in ("tip-adapter", "linear-probe")
    assert found.winner.accuracy > 80
    assert of(found, "zero-shot").behind
    assert f"zero-shot CLIP is given up: {of(found, 'zero-shot').left}" in heard.notices
    assert found.winner.title in found.why


def test_where_the_words_are_right_and_the_images_are_noise_words_win(backbone, tmp_path):
    path = write(tmp_path / "x.npz", where_words_are_right(backbone), 9.0, per_class=3)
    found = choose(material(path, backbone, shots=2), Clock.start(600))
    assert found.winner.name != "linear-probe"
    assert found.winner.accuracy >= of(found, "linear-probe").accuracy


def test_test_images_change_nothing_in_the_choice(backbone, tmp_path):
    """Their labels moved on by one: the same numbers, the same choice."""
    centres = where_words_are_right(backbone)
    first = write(tmp_path / "first.npz", centres, 4.0)
    other = write(tmp_path / "other.npz", centres, 4.0, relabel=lambda labels: (labels + 1) % 6)
    one, two = (choose(material(path, backbone), Clock.start(600)) for path in (first, other))
    assert one.winner.name == two.winner.name
    assert one.lower == two.lower
    for a, b in zip(one.entries, two.entries, strict=True):
        assert torch.equal(a.right, b.right)


def test_one_image_a_class_is_measured_on_val_which_no_method_then_reads(backbone, tmp_path):
    heard = Heard()
    given = material(write(tmp_path / "x.npz", where_words_are_right(backbone), 1.0), backbone, shots=1)
    found = choose(given, Clock.start(600), heard)
    assert any("one image a class cannot be cross-validated" in text for text in heard.notices)
    assert found.how == "6 val images, as there is one training image a class"
    assert of(found, "zero-shot").images == 6


def test_one_image_a_class_and_no_val_leaves_nothing_to_measure_on(backbone, tmp_path):
    path = write(tmp_path / "x.npz", where_words_are_right(backbone), 1.0, per_class=1)
    found = choose(material(path, backbone, shots=1), Clock.start(600))
    assert found.winner.images == 0
    assert "nothing to measure on" in found.why


def test_too_little_time_for_anything_is_refused(backbone, tmp_path):
    given = material(write(tmp_path / "x.npz", where_words_are_right(backbone), 1.0), backbone)
    hours = iter(range(0, 10**6, 3600))
    with pytest.raises(MoCoOpError, match="no method could be measured in that time"):
        choose(given, Clock.start(60, lambda: float(next(hours))))


def test_a_training_that_would_not_end_in_time_is_ended_after_a_few_steps(backbone, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "TRIED", ("zero-shot", "coop"))
    given = material(write(tmp_path / "x.npz", where_words_are_right(backbone), 4.0), backbone)
    ticks = iter(range(10**6))
    found = choose(given, Clock.start(60, lambda: float(next(ticks))))  # a second a look: a step
    assert of(found, "coop").left.startswith("no time: a split takes about")
    assert next(ticks) < 45  # its whole training would be 50 steps more
    assert found.winner.name == "zero-shot"


def test_what_new_classes_cost_is_measured_on_classes_hidden_from_the_training(backbone, tmp_path):
    given = material(write(tmp_path / "x.npz", where_words_are_right(backbone), 2.0), backbone)
    entries = {entry.name: entry for entry in module.entries_for(GROUP_FILE)}
    found, told = new_classes(given, entries["tip-adapter"], Clock.start(600), Listener())
    assert isinstance(found, NewClasses)
    assert found.winner == found.zero_shot  # its cache has nothing of them
    assert "0.0 points above zero-shot" in told
    assert new_classes(given, entries["linear-probe"], Clock.start(600), Listener())[0] is None
    assert "learns nothing" in new_classes(given, entries["zero-shot"], Clock.start(600), Listener())[1]


def test_the_winner_is_a_run_with_its_record_and_is_measured_on_the_test_images(backbone, tmp_path):
    path = write(tmp_path / "x.npz", where_words_are_wrong(backbone), 2.0)
    groups = tmp_path / "groups.json"
    save_groups(groups, GROUP_FILE.document)
    plan = TrainingPlan(
        groups=groups, data=path, out=tmp_path / "run", config=Config(), shots=4, device="cpu", use_cache=False,
        backbone=backbone.name,
    )  # fmt: skip
    found = auto(plan, GROUP_FILE, 10)
    assert Run.open(tmp_path / "run").config.method == found.choice.winner.name
    assert found.test is not None
    assert found.test.images == 30
    assert found.test.accuracy > 80
    assert (tmp_path / "run" / "auto.json").is_file()
    assert [one["method"] for one in found.to_dict()["tried"]] == list(QUICK)
    with pytest.raises(UsageError, match="holds a finished run"):
        auto(plan, GROUP_FILE, 10)


def test_a_blend_joins_what_its_parts_have_learned_in_the_split(backbone, tmp_path, monkeypatch):
    """The mixture is trained once a split, not twice."""
    monkeypatch.setattr(module, "TRIED", ("zero-shot", "linear-probe", "mocoop", "blend"))
    monkeypatch.setattr(Material, "config", lambda self, method: config(self, method).replace(epochs=1, min_steps=0))
    given = material(write(tmp_path / "x.npz", where_words_are_right(backbone), 6.0), backbone, shots=2)
    trained, learn = [], Material.learn

    def counted(self, method, rows, **more):
        joined = bool(more.get("parts")) and set(more["parts"]) >= {"mocoop", "linear-probe"}
        trained.append((method, joined))
        return learn(self, method, rows, **more)

    monkeypatch.setattr(Material, "learn", counted)
    choose(given, Clock.start(600))
    assert {joined for method, joined in trained if method == "blend"} == {True}
