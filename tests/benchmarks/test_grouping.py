"""The grouping benchmark's sets and arithmetic, and a floor under what the default setting reaches."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from mocoop.groupfile.groups import dump_groups, parse_groups
from mocoop.grouping.bank import load_bank
from mocoop.grouping.clustering.embed import embed
from mocoop.grouping.clustering.vectors import centred

PATH = Path(__file__).parents[2] / "benchmarks" / "grouping.py"


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("benchmark_grouping", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def flat(aspects):
    texts = [text for group in aspects.values() for text in group]
    return texts, [name for name, group in aspects.items() for _ in group]


def test_the_sets_are_those_of_the_issue(benchmark):
    sizes = {name: (len(aspects), len(flat(aspects)[0])) for name, aspects in benchmark.bank_sets().items()}
    assert sizes["remote_sensing"] == (6, 53)
    assert sizes["general"] == (12, 110)
    assert sizes["all"][0] == len(load_bank().aspects)


def test_the_reworded_sets_have_the_aspects_and_none_of_the_sentences(benchmark):
    sets = benchmark.bank_sets()
    for name in ("remote_sensing", "general"):
        reworded = sets[f"{name} reworded"]
        assert list(reworded) == list(sets[name])
        assert not set(flat(reworded)[0]) & set(flat(sets["all"])[0])
        groups = [{"id": id_, "templates": list(texts)} for id_, texts in reworded.items()]
        parse_groups(dump_groups({"schema_version": 1, "domain": name, "groups": groups}))


def test_the_default_was_chosen_on_aspects_of_no_goal_set(benchmark):
    goals = {*benchmark.bank_sets()["remote_sensing"], *benchmark.bank_sets()["general"]}
    for draws in benchmark.development_sets().values():
        assert not goals & {name for aspects in draws for name in aspects}


@pytest.mark.parametrize(("name", "floor"), [("remote_sensing", 0.53), ("general", 0.46)])
def test_the_default_finds_as_much_as_the_readme_says_and_more_than_plain_k_means(benchmark, name, floor):
    texts, truth = flat(benchmark.bank_sets()[name])
    made = embed(texts)
    default, _ = benchmark.measured(made.space, truth, benchmark.ALGORITHMS[benchmark.DEFAULT[1]], 2)
    plain, _ = benchmark.measured(centred(made.vectors), truth, benchmark.ALGORITHMS["k-means"], 2)
    assert default > floor
    assert default > plain


def test_development_learns_from_aspects_that_were_not_drawn(benchmark, monkeypatch):
    seen = []

    def learned(encode, aspects):
        seen.extend(text for group in aspects for text in group)
        return np.eye(3)

    def encode(sentences):
        return np.array([np.random.default_rng(list(text.encode())).normal(size=3) for text in sentences])

    monkeypatch.setattr(benchmark, "learned_tone", learned)
    aspects = benchmark.development_aspects()
    drawn = benchmark.development_sets()["6 of 35"][0]
    assert len(benchmark.development_figures(drawn, aspects, encode)) == 4
    texts = {text for group in drawn.values() for text in group}
    assert not texts & set(seen)
    assert len(texts) + len(seen) == sum(map(len, aspects.values()))


def test_agreement_is_the_mean_index_of_pairs(benchmark):
    same, turned, other = np.array([0, 0, 1, 1]), np.array([1, 1, 0, 0]), np.array([0, 1, 0, 1])
    assert benchmark.agreement([same, turned]) == 1
    assert benchmark.agreement([same, turned, other]) == pytest.approx((1 - 0.5 - 0.5) / 3)
    assert benchmark.agreement([same]) == 1


def test_it_prints_a_line_a_space_and_algorithm(benchmark, monkeypatch, capsys):
    sets = {"small": {"a": ("a {} at night.", "the {} after dark."), "b": ("a sketch of a {}.", "a drawing of a {}.")}}
    monkeypatch.setattr(benchmark, "bank_sets", lambda: sets)
    monkeypatch.setattr(sys, "argv", ["grouping.py", "--seeds", "1", "--sets", "small"])
    benchmark.main()
    heading, *rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert heading == list(benchmark.HEADING)
    assert {tuple(row[:3]) for row in rows} == {("small", "4", "2")}
    assert len(rows) == 7 * len(benchmark.ALGORITHMS)
    (default,) = [row for row in rows if row[7]]
    assert tuple(default[3:5]) == benchmark.DEFAULT
    assert default[5] == "1.00"
