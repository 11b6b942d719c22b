"""The race: who is left and why, what the time does, and who is chosen."""

from __future__ import annotations

import math

import pytest
import torch

from mocoop.auto.race import BEHIND, Clock, Entry, TimeIsUp, chosen, lower_bounds, paired, race

N, SPLITS = 100, 5


class Hand:
    """A clock that moves when it is told."""

    def __init__(self):
        self.time = 0.0

    def __call__(self):
        return self.time


def run(rights, seconds=None, minutes=60.0, entries=None, after=2.5, too_long=()):
    """Race entries that are right in given shares of images, at given seconds a split."""
    hand, seconds = Hand(), seconds or {}
    entries = entries or [Entry(name, name) for name in rights]
    tried = []

    def measure(entry, split, left):
        tried.append((entry.name, split))
        if entry.name in too_long:
            hand.time += 1
            raise TimeIsUp(99)
        hand.time += seconds.get(entry.name, 1.0)
        rows = torch.arange(split, N, SPLITS)
        generator = torch.Generator().manual_seed(len(entry.name) + split)
        wrong = round((1 - rights[entry.name]) * len(rows))
        right = torch.ones(len(rows), dtype=torch.bool)
        right[torch.randperm(len(rows), generator=generator)[:wrong]] = False
        return rows, right

    race(entries, N, SPLITS, measure, Clock.start(60 * minutes, hand), after=after)
    return entries, tried, hand


def test_what_is_far_behind_is_left_after_the_first_split_and_says_how_far():
    (good, bad), tried, _ = run({"good": 0.9, "bad": 0.2})
    assert tried.count(("good", 4)) == 1
    assert [split for name, split in tried if name == "bad"] == [0]
    assert bad.left == "70.0 points behind good"
    assert (good.images, bad.images) == (100, 20)
    assert good.accuracy == pytest.approx(90)
    assert chosen([good, bad]) is good


def test_what_is_near_stays_to_the_end():
    entries, _, _ = run({"one": 0.8, "other": 0.75})
    assert [entry.left for entry in entries] == [None, None]
    assert [entry.images for entry in entries] == [100, 100]


def test_what_takes_steps_comes_after_all_splits_of_the_others_and_meets_the_best_of_them():
    entries = [Entry("weak", "weak", steps=True), Entry("good", "good")]
    (weak, good), tried, _ = run({"weak": 0.2, "good": 0.9}, entries=entries)
    assert tried == [*(("good", split) for split in range(SPLITS)), ("weak", 0)]
    assert weak.behind
    assert good.images == 100


def test_what_does_not_fit_in_the_time_is_left_out_and_said():
    """A split of 40 s, with 2.5 times that set aside: 300 s have room for four."""
    (cheap, dear), tried, hand = run({"cheap": 0.8, "dear": 0.8}, {"dear": 40.0}, minutes=5.0)
    assert [split for name, split in tried if name == "dear"] == [0, 1, 2, 3]
    assert cheap.images == 100
    assert dear.left.startswith("no time: a split takes about 40 s")
    assert hand.time <= 300 - 2.5 * 40
    late, *_ = run({"cheap": 0.8, "dear": 0.8}, too_long=("dear",))
    assert late[1].left == "no time: a split takes about 99 s, what follows if it is picked 248 s; 3598 s were left"
    assert late[1].images == 0
    assert chosen(late) is late[0]
    assert late[1].to_dict()["accuracy"] is None


def test_a_part_of_another_goes_on_though_it_is_behind_and_its_time_counts_for_the_whole():
    def entries():
        return [Entry("half", "half"), Entry("whole", "whole", parts=("half",))]

    (half, whole), tried, _ = run({"half": 0.2, "whole": 0.9}, entries=entries())
    assert half.behind
    assert [split for name, split in tried if name == "half"] == list(range(SPLITS))
    assert whole.images == 100
    assert chosen([half, whole]) is whole
    (half, whole), *_ = run({"half": 0.9, "whole": 0.9}, {"half": 40.0}, minutes=4.0, entries=entries())
    assert whole.images < 100
    assert whole.left.startswith("no time: a split takes about 41 s")


def answered(name, right, rows=range(N), **more):
    """An entry that answered for some rows, the first `right` of them rightly."""
    entry = Entry(name, name, right=torch.zeros(N), asked=torch.zeros(N), **more)
    rows = torch.tensor(list(rows))
    entry.add(rows, torch.arange(len(rows)) < right, 1.0)
    return entry


def test_the_bound_is_accuracy_minus_its_standard_error():
    one = answered("one", 80)
    share = 81 / 102
    assert one.error == pytest.approx(100 * math.sqrt(share * (1 - share) / 100))
    assert lower_bounds([one]) == {"one": pytest.approx(80 - one.error)}
    assert answered("all", N).error > 0  # all right is no certainty


def test_who_answered_for_the_easy_images_only_is_measured_by_the_difference_on_those():
    full = answered("full", 50)  # right on the first 50
    part = answered("part", 50, range(50))  # the same, where it was asked
    bounds = lower_bounds([full, part])
    assert part.accuracy == 100
    assert bounds["part"] < bounds["full"]
    gap, error = paired(part, full)
    assert (gap, bounds["part"]) == (0, pytest.approx(bounds["full"] - error))
    assert chosen([full, part]) is full


def test_the_paired_difference_counts_one_win_of_each_more():
    one, other = answered("one", 60), answered("other", 50)
    gaps = torch.tensor([1.0] * 10 + [0.0] * 90 + [1.0, -1.0])
    gap, error = paired(one, other)
    assert gap == pytest.approx(10)
    assert error == pytest.approx(100 * float(gaps.std()) / math.sqrt(102))
    assert gap > BEHIND * error


def test_ties_go_to_what_names_any_class_and_then_to_the_cheaper():
    probe = answered("probe", 80, names_any_class=False)
    cheap, dear = answered("cheap", 80), answered("dear", 80)
    assert chosen([probe, cheap, dear]) is cheap
    assert chosen([probe, answered("worse", 79)]) is probe  # a point is no tie
    assert chosen([Entry("none", "none")]) is None


def test_in_doubt_it_is_the_one_that_is_made_of_several():
    best, blend = answered("best", 82), answered("blend", 80, range(N - 1, -1, -1), parts=("best",))
    assert chosen([best, blend]) is blend  # right on others: 20 images won and 18 lost are chance
    assert chosen([best, answered("other", 80)]) is best
    clear = answered("clear", 95)
    assert chosen([clear, answered("blend", 80, parts=("clear",))]) is clear
    assert chosen([best, answered("blend", 40, range(50), parts=("best",))]) is best  # it was not asked for all
