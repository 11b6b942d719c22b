"""Pictures are drawn, labelled, the same for the same numbers, and hold any name."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from mocoop.reporting.curves import plot_curves, plot_differences, plot_reliability

HOSTILE = "<b>$x_1$ & \x1b[31m" + "long " * 20


def texts(path):
    return [found.text for found in ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}text")]


@pytest.fixture
def curves():
    return {"CoOp": [(1, 50.0, 2.0), (2, 55.0, None), (16, 60.0, 1.0)], HOSTILE: [(1, 40.0, None)]}


def test_curves_have_their_shots_names_and_units(tmp_path, curves):
    path = plot_curves(curves, tmp_path / "c.svg", title="dtd", xlabel="training images a class", by_doubling=True)
    said = texts(path)
    assert {"1", "2", "16", "CoOp", "dtd", "accuracy, %", "training images a class"} <= set(said)
    assert any(word.startswith("<b>$x_1$ & \\x1b") for word in said)


def test_error_bars_are_drawn_where_there_are_deviations(tmp_path, curves):
    with_bars = plot_curves(curves, tmp_path / "a.svg", title="t", xlabel="x").read_text()
    bare = {name: [(x, y, None) for x, y, _ in points] for name, points in curves.items()}
    assert with_bars != plot_curves(bare, tmp_path / "b.svg", title="t", xlabel="x").read_text()


def test_a_curve_keeps_its_style_where_others_are_missing(tmp_path, curves):
    names = ["first", "CoOp", HOSTILE]
    one = plot_curves({"CoOp": curves["CoOp"]}, tmp_path / "a.svg", title="t", xlabel="x", names=names).read_text()
    assert "#d55e00" in one.lower()
    assert "#0072b2" not in one.lower()


def test_the_same_numbers_give_the_same_file(tmp_path, curves):
    drawn = [plot_curves(curves, tmp_path / f"{n}.svg", title="t", xlabel="x").read_bytes() for n in range(2)]
    assert drawn[0] == drawn[1]


def test_reliability_names_both_axes_and_all_methods(tmp_path):
    bins = [(10, 0.3, 0.2), (20, 0.9, 0.8)]
    said = texts(plot_reliability({"CoOp": bins, "MoCoOp": bins}, tmp_path / "r.svg", title="base"))
    assert {"confidence, %", "accuracy, %", "CoOp", "MoCoOp", "base"} <= set(said)


def test_differences_are_in_points_with_or_without_interval(tmp_path):
    shown = {"CoOp": (-1.5, (-3.0, 0.1)), HOSTILE: (2.0, None)}
    said = texts(plot_differences(shown, tmp_path / "d.svg", title="H"))
    assert {"CoOp", "H", "difference in points, mean and 95 % interval"} <= set(said)
