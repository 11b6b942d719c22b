"""Pictures of a training: what is drawn, that it is the same each time, and that no name breaks it."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from mocoop.errors import StorageError, UsageError
from mocoop.reporting.plots import (
    BaseNewResult,
    plot_base_new,
    plot_confusion,
    plot_expert_use,
    plot_losses,
    shortened,
)
from mocoop.training.trainer import StepLog

NAMES = {
    "money": "a $5 bill or a $10 bill",
    "mathematics": "$x_1^{2$ and \\frac{$",
    "markup": "<script>alert(1)</script> & co",
    "right to left": "חתול קטן",
    "underscore": "_hidden_name_",
    "percent": "100% {} %s",
    "control": "a\x00b\x1b[2J\nc",
    "emoji": "🐈 cat",
}


def history(text_loss=0.5):
    return [
        StepLog(
            epoch=step // 5, step=step + 1, steps=20, loss=2.0, class_loss=2 - step / 20, router_loss=0.1,
            text_loss=text_loss, accuracy=step / 20, gate_entropy=0.1, lr=0.01, expert_use=(0.5, 0.5),
        )
        for step in range(20)
    ]  # fmt: skip


def texts(path):
    """The words in an SVG, which must be well-formed XML."""
    root = ET.parse(path).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    return ["".join(element.itertext()) for element in root.iter("{http://www.w3.org/2000/svg}text")]


def draw_losses(path):
    return plot_losses(history(), path)


def draw_use(path, names=("sea snake", "dog"), ids=("plain", "blurry")):
    return plot_expert_use([[0.75, 0.25], [0.0, 1.0]], names, ids, path, "First expert by class")


def draw_bars(path, method="mixture"):
    return plot_base_new([BaseNewResult(method=method, base=80, new=60, h=68.6, base_sd=1.25)], path)


def draw_confusion(path, names=("sea snake", "dog")):
    return plot_confusion([[7, 1], [0, 9]], names, path, "Which class was taken for which")


DRAWINGS = [draw_losses, draw_use, draw_bars, draw_confusion]


@pytest.mark.parametrize("draw", DRAWINGS)
def test_a_picture_is_the_same_file_each_time(tmp_path, draw):
    assert draw(tmp_path / "a.svg").read_bytes() == draw(tmp_path / "b.svg").read_bytes()


@pytest.mark.parametrize("draw", DRAWINGS)
def test_png_and_pdf_are_whole(tmp_path, draw):
    with Image.open(draw(tmp_path / "a.png")) as image:
        image.load()
        assert min(image.size) > 100
        assert len(image.convert("RGB").getcolors(1 << 24)) > 10  # something is on it
    assert draw(tmp_path / "a.PDF").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize("classes", [2, 3, 21])
def test_nothing_of_a_heat_map_is_cut_at_its_edge(tmp_path, classes):
    names = [f"fabric with a wrong weave {c}" for c in range(classes)]
    ones = [[int(row == column) for column in range(classes)] for row in range(classes)]
    confused = plot_confusion(ones, names, tmp_path / "a.png", "Which class was taken for which")
    used = plot_expert_use(ones, names, names, tmp_path / "b.png", "First expert by class")
    for path in (confused, used):
        with Image.open(path) as image:
            pixels = np.array(image.convert("L"))
        edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
        assert edge.min() == 255, path.name


def test_losses_name_their_terms(tmp_path):
    assert {"class loss", "router loss", "text loss", "step", "accuracy of the batch, %"} <= set(
        texts(draw_losses(tmp_path / "a.svg"))
    )


def test_a_term_that_was_not_computed_is_left_out(tmp_path):
    assert "text loss" not in texts(plot_losses(history(text_loss=0.0), tmp_path / "a.svg"))


def test_losses_of_a_run_without_a_log_are_an_empty_picture(tmp_path, recwarn):
    assert "step" in texts(plot_losses([], tmp_path / "a.svg"))
    assert not recwarn.list


def test_expert_use_carries_its_numbers(tmp_path):
    words = texts(draw_use(tmp_path / "a.svg"))
    assert {"sea snake", "dog", "plain", "blurry", "75", "25", "100"} <= set(words)
    assert words.count("0") == 1  # on the colour bar; an empty cell has no number


@pytest.mark.parametrize("use", [[[0.5, 0.5]], [[1.0], [1.0]], [[0.5, 0.5], [0.5]]])
def test_expert_use_of_another_shape_is_refused(tmp_path, use):
    with pytest.raises(ValueError, match="not 2 rows of 2 experts"):
        plot_expert_use(use, ["a", "b"], ["x", "y"], tmp_path / "a.svg", "title")
    assert not (tmp_path / "a.svg").exists()


def test_bars_carry_means_and_deviations(tmp_path):
    assert {"mixture", "80.0 ± 1.2", "60.0", "68.6", "base", "new", "H"} <= set(texts(draw_bars(tmp_path / "a.svg")))


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_odd_names_are_drawn_as_they_are(tmp_path, name):
    words = texts(draw_use(tmp_path / "use.svg", names=("dog", name), ids=(name, "blurry")))
    assert words.count(shortened(name)) == 2
    assert shortened(name) in texts(draw_bars(tmp_path / "bars.svg", method=name))
    draw_use(tmp_path / "use.png", names=("dog", name), ids=(name, "blurry"))


def test_a_very_long_name_is_cut(tmp_path):
    words = texts(draw_use(tmp_path / "a.svg", names=("dog", "x" * 5000)))
    assert "x" * 37 + "..." in words
    assert max(map(len, words)) < 100


@pytest.mark.parametrize("name", ["a.gif", "a", "a.svg.exe"])
def test_a_format_that_cannot_be_drawn_is_refused(tmp_path, name):
    with pytest.raises(UsageError, match="cannot be drawn") as refused:
        draw_bars(tmp_path / name)
    assert ".svg, .png, .pdf" in refused.value.hint
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_a_storage_error(tmp_path):
    with pytest.raises(StorageError, match="cannot write"):
        draw_bars(tmp_path / "missing" / "a.svg")
