"""The search on val: what the budget buys, who goes on, who wins."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mocoop.bench.tuning import Candidate, Measured, best_of, chosen, drawn, grid, measured, plan, search
from mocoop.errors import UsageError


def test_the_grid_has_every_combination_and_the_preset_first():
    found = grid({"lr": [0.1, 0.2], "top_k": [1, 2]}, group_files=2)
    assert [one.groups for one in found] == [0] * 5 + [1] * 5
    assert [dict(one.changes) for one in found[:5]] == [
        {}, {"lr": 0.1, "top_k": 1}, {"lr": 0.1, "top_k": 2}, {"lr": 0.2, "top_k": 1}, {"lr": 0.2, "top_k": 2},
    ]  # fmt: skip
    assert grid({}) == [Candidate({})]
    assert [str(one) for one in found[:2]] == ["as the preset says", "lr=0.1, top_k=1"]


@given(st.integers(1, 60), st.integers(1, 100), st.integers(1, 5))
def test_the_plan_keeps_the_budget_and_could_not_start_with_one_more(candidates, trainings, seeds):
    if trainings < seeds:
        with pytest.raises(UsageError, match="fewer than"):
            plan(candidates, trainings, seeds)
        return
    rounds = plan(candidates, trainings, seeds)
    assert len(rounds) == seeds
    assert sum(rounds) <= trainings
    assert all(after == max(1, -(-before // 2)) for before, after in itertools.pairwise(rounds))
    if rounds[0] < candidates:
        assert sum(max(1, -(-(rounds[0] + 1) // 2**number)) for number in range(seeds)) > trainings


def test_the_better_half_goes_on_and_the_best_mean_wins():
    asked = []
    truth = {"a": 50.0, "b": 80.0, "c": 70.0, "d": 60.0}

    def measure(candidate, seed):
        asked.append((candidate.changes["x"], seed))
        return Measured(truth[candidate.changes["x"]] + (15 if (candidate.changes["x"], seed) == ("c", 2) else 0), 1.0)

    candidates = [Candidate({"x": name}) for name in "abcd"]
    found = search(candidates, [1, 2], 6, measure)
    assert asked == [("a", 1), ("b", 1), ("c", 1), ("d", 1), ("b", 2), ("c", 2)]
    assert [one.candidate.changes["x"] for one in found] == ["b", "c", "d", "a"]
    assert found[0].accuracy == 80
    assert found[1].accuracy == 77.5


def test_equal_accuracies_are_told_apart_by_the_loss_and_then_stay_in_order():
    losses = {"a": 2.0, "b": 1.0, "c": 1.0}
    candidates = [Candidate({"x": name}) for name in "abc"]
    found = search(candidates, [1], 3, lambda one, _seed: Measured(50.0, losses[one.changes["x"]]))
    assert [one.candidate.changes["x"] for one in found] == ["b", "c", "a"]


def searched(method="coop", lr=None, seed=1, val=50.0, **more):
    changes = {} if lr is None else {"lr": lr}
    row = {"protocol": "tune", "method": method, "preset": "recommended", "changes": changes, "seed": seed, "shots": 16,
           "dataset": "one", "accuracy": {"val": val}, "loss": {"val": 1.0},
           "groups": {"sha256": "a", "kind": "own"}}  # fmt: skip
    return {**row, **more}


def test_a_comparison_takes_what_did_best_over_the_most_seeds_and_data_sets():
    rows = [
        searched(lr=0.1, seed=1, val=60.0), searched(lr=0.1, seed=2, val=40.0, dataset="other"),
        searched(lr=0.5, seed=1, val=55.0), searched(lr=0.5, seed=2, val=54.0), searched(lr=2.0, val=99.0),
    ]  # fmt: skip
    assert chosen(rows, "coop", "recommended") == {"lr": 0.5}
    assert chosen(rows[:2], "coop", "recommended") == {"lr": 0.1}
    assert chosen([searched(val=50.0), searched(lr=0.1, val=49.0)], "coop", "recommended") == {}
    assert chosen(rows, "lasp", "recommended") is None
    assert chosen(rows, "coop", "paper") is None
    assert chosen([{**rows[0], "protocol": "base-to-new"}], "coop", "recommended") is None


def test_h_counts_where_half_of_the_classes_was_left_out():
    row = searched(accuracy={"val": 80.0, "val, classes left out": 20.0, "H": 32.0},
                   loss={"val": 1.0, "val, classes left out": 3.0})  # fmt: skip
    assert measured(row) == Measured(32.0, 2.0)
    with pytest.raises(UsageError, match="cannot name the classes left out"):
        measured(searched("linear-probe", accuracy={"val": 80.0, "val, classes left out": None, "H": None}))


def test_one_answer_to_everything_never_wins():
    candidates = grid({"x": ["a", "b", "c"]})[1:]
    found = {"a": (90.0, True), "b": (40.0, False), "c": (30.0, False)}
    ranking = search(candidates, [1, 2], 6, lambda one, _seed: Measured(found[one.changes["x"]][0], 1.0,
                                                                      constant=found[one.changes["x"]][1]))  # fmt: skip
    assert [one.candidate.changes["x"] for one in ranking] == ["b", "c", "a"]
    assert [one.constant for one in ranking] == [0, 0, 1], "and no second seed is spent on it"
    late = search(candidates[:2], [1, 2], 3, lambda one, seed: Measured(
        {"a": 90.0, "b": 40.0}[one.changes["x"]], 1.0, constant=(one.changes["x"], seed) == ("a", 2)))  # fmt: skip
    assert [(one.candidate.changes["x"], len(one.results)) for one in late] == [("b", 1), ("a", 2)]


def test_if_all_give_one_answer_the_best_of_them_is_first():
    candidates = grid({"x": ["a", "b"]})[1:]
    ranking = search(
        candidates, [1], 2, lambda one, _seed: Measured({"a": 40.0, "b": 50.0}[one.changes["x"]], 1.0, True)
    )
    assert [one.candidate.changes["x"] for one in ranking] == ["b", "a"]
    assert all(one.constant for one in ranking)


def test_a_row_of_one_answer_is_not_chosen():
    same = {"val": {"constant": True}}
    rows = [searched(lr=0.1, val=90.0, scores=same), searched(lr=0.5, val=30.0, scores={"val": {"constant": False}})]
    assert chosen(rows, "coop", "recommended") == {"lr": 0.5}
    assert chosen(rows[:1], "coop", "recommended") == {"lr": 0.1}
    assert best_of(rows[:1], "coop", "recommended").constant == 1
    assert measured(rows[0]) == Measured(90.0, 1.0, constant=True)
    assert measured(searched(lr=0.1, val=90.0, scores={"val": {}, "val, classes left out": same["val"]})).constant


@pytest.mark.parametrize("other", [{"sha256": "b", "kind": "own"}, {"sha256": "a", "kind": "first-3"}])
def test_rows_of_several_groupings_are_not_chosen_from(other):
    with pytest.raises(UsageError, match="several groupings"):
        chosen([searched("mocoop"), searched("mocoop", lr=0.1, groups=other)], "mocoop", "recommended")
    each = [searched("mocoop"), searched("mocoop", lr=0.1, val=60.0), searched("mocoop", dataset="two", groups=other)]
    assert chosen(each, "mocoop", "recommended") == {}  # each data set may have its own
    words = [searched(val=40.0), searched(lr=0.1, groups=other)]  # one prompt's start is no grouping
    assert chosen(words, "coop", "recommended") == {"lr": 0.1}


@pytest.mark.parametrize("other", [{"shots": 4}, {"classes": "halves"}, {"val_shots": 16}])
def test_rows_of_several_kinds_of_search_are_not_chosen_from(other):
    with pytest.raises(UsageError, match="several choices of classes or shots"):
        chosen([searched(), searched(lr=0.1, **other)], "coop", "recommended")


@given(st.integers(1, 20), st.integers(1, 3), st.integers(0, 5))
def test_a_draw_has_the_presets_of_all_files_first_and_keeps_the_order(count, files, seed):
    candidates = grid({"lr": [1, 2, 3, 4]}, group_files=files)
    found = drawn(candidates, count, seed)
    assert len(found) == min(count, len(candidates))
    places = [candidates.index(one) for one in found]
    assert places == sorted(set(places))
    assert sum(not one.changes for one in found) == min(files, len(found))
    assert drawn(candidates, count, seed) == found
