"""One run as a page: what it says in plain words, its tables and pictures, and the next step that it suggests."""

from __future__ import annotations

from dataclasses import replace

import pytest
from datafiles import put_classes
from worlds import config_of, plan_for, write_world

from mocoop.config import preset
from mocoop.data.sources import open_dataset
from mocoop.reporting.advice import next_step
from mocoop.reporting.document import Number, Picture, Table, Tiles, Words
from mocoop.reporting.mistakes import Mistake
from mocoop.reporting.page import html
from mocoop.reporting.plain import markdown
from mocoop.reporting.runpage import run_page
from mocoop.reporting.runplots import draw_run
from mocoop.runs.evaluate import evaluate
from mocoop.runs.train import train


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return write_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def run(world, tmp_path_factory):
    config = preset("recommended", epochs=3, lr=0.01, batch_size=16)  # some mistakes remain
    return train(plan_for(world, tmp_path_factory.mktemp("runs") / "run", config))


@pytest.fixture(scope="module")
def result(run, world):
    return evaluate(run, open_dataset(world["data"]), baselines=True)


@pytest.fixture(scope="module")
def page(run, result, tmp_path_factory):
    return run_page(run, result, "features.npz", tmp_path_factory.mktemp("pictures"))


def said(section):
    return " ".join(block.text for block in section.blocks if isinstance(block, Words))


def test_the_page_says_how_good_it_is_in_plain_words(page, result):
    short = said(page.sections[0])
    right = sum(guess == example.label for guess, example in zip(result.predictions, result.examples, strict=True))
    assert f"Of {result.images} test images it names {right} right" in short
    beside = next(block for block in page.sections[0].blocks if isinstance(block, Table))
    assert beside.rows[0] == ("this run", Number(result.accuracy, digits=1))
    assert ("guessing", Number(100 / 6, digits=1)) in beside.rows
    assert {name for name, _ in beside.rows} > {"linear probe, the same training images"}
    assert not any(name.startswith("always") for name, _ in beside.rows)  # all classes have as many images
    assert f"on average, of the worst, {result.scores.worst_class!r}, {result.scores.worst_recall:.0f}." in short
    assert "Next: " in short


def test_always_naming_the_largest_class_stands_beside_the_run_where_classes_differ_in_size(run, result, tmp_path):
    scores = replace(result.scores, largest_class="flawless", largest_class_share=50.0)
    noted = replace(result, scores=scores, notes=("on all classes never the first expert of an image: haze",))
    short = run_page(run, noted, "data", tmp_path).sections[0].blocks
    beside = next(block for block in short if isinstance(block, Table))
    assert ("always 'flawless'", Number(50.0, digits=1)) in beside.rows
    assert Words(noted.notes[0], "note") in short


def test_every_section_is_there_and_can_be_written(page):
    assert [section.anchor for section in page.sections] == [
        "short",
        "classes",
        "wrong",
        "certainty",
        "groups",
        "training",
    ]
    pictures = [block.name for section in page.sections for block in section.blocks if isinstance(block, Picture)]
    assert pictures == ["confusion", "reliability", "expert-use", "losses"]
    text = html(page)
    assert text.count("data:image/svg+xml") == 4
    assert "<script" not in text
    assert "## What it got wrong" in markdown(page)


def test_wrong_answers_are_listed_the_surest_first(page, result):
    table = next(block for block in page.sections[2].blocks if isinstance(block, Table))
    wrong = [i for i, guess in enumerate(result.predictions) if guess != result.examples[i].label]
    assert len(table.rows) == min(24, len(wrong)) > 0
    sure = [row[3].value for row in table.rows]
    assert sure == sorted(sure, reverse=True)
    assert all(row[1] != row[2] for row in table.rows)


def test_a_run_that_was_not_measured_says_how(run, tmp_path):
    page = run_page(run, None, None, tmp_path)
    assert "give --data" in said(page.sections[0])
    assert [section.anchor for section in page.sections] == ["short", "groups", "training"]


def test_pictures_are_shown_where_there_are_any(run, result, tmp_path):
    path = next(put_classes(tmp_path / "data", {"dog": 1}).rglob("*.png"))
    examples = tuple(example._replace(path=path, row=None) for example in result.examples)
    page = run_page(run, replace(result, examples=examples), "data", tmp_path, most_images=2)
    tiles = next(block for block in page.sections[2].blocks if isinstance(block, Tiles))
    assert len(tiles.pictures) == 2
    assert all(small.is_file() and "; is " in caption for small, caption in tiles.pictures)


def test_a_hostile_name_stays_text(run, result, tmp_path):
    named = tuple(replace(one, name="<img src=x onerror=alert(1)>") for one in result.per_class)
    assert "<img src=x" not in html(run_page(run, replace(result, per_class=named), "data", tmp_path))


def test_the_next_step_is_the_first_that_matters(run, result):
    scores = replace(result.scores, constant=False, chance=False, worst_recall=80.0, balanced_accuracy=85.0)
    plain = replace(result, scores=scores, images=600, accuracy=85.0, baselines={})
    assert "mocoop export" in next_step(run, plain, [])
    assert "12 training images" in next_step(run, plain, [], more_images=12)
    assert "'dog' and 'cat': 40 of the 90 mistakes are the first taken for the second. If" in next_step(
        run, plain, [Mistake("dog", "cat", 40)], more_images=12
    )
    both = [Mistake("dog", "cat", 40), Mistake("owl", "cat", 9), Mistake("cat", "dog", 7)]
    assert "the second, and 7 the other way round. If" in next_step(run, plain, both)
    assert "mocoop export" in next_step(run, plain, [Mistake("dog", "cat", 4)])
    ahead = replace(plain, baselines={"linear probe": replace(scores, accuracy=95.0)})
    assert next_step(run, ahead, [Mistake("dog", "cat", 40)]).startswith("Linear probe is right on 95 of 100")
    near = replace(plain, baselines={"linear probe": replace(scores, accuracy=86.0)})
    assert "mocoop export" in next_step(run, near, [])
    assert "more images" in next_step(run, replace(ahead, images=12), [])
    assert "learned nothing" in next_step(run, replace(ahead, scores=replace(scores, chance=True)), [])
    neglected = replace(plain, scores=replace(scores, worst_recall=10.0, worst_class="dam"))
    assert "'dam'" in next_step(run, neglected, [])


def test_what_a_method_has_not_is_left_out(world, tmp_path):
    found = train(plan_for(world, tmp_path / "run", config_of("tip-adapter")))
    page = run_page(found, None, None, tmp_path)
    training = page.sections[-1]
    assert not [block for block in training.blocks if isinstance(block, Picture)]
    settings = next(block for block in training.blocks if isinstance(block, Table))
    assert "None" not in {value for _, value in settings.rows}
    drawn = draw_run(found, [evaluate(found, open_dataset(world["data"]))], tmp_path / "plots")
    assert not [path for path in drawn if path.stem == "losses"]


def test_an_error_of_calibration_on_few_images_says_what_chance_makes_of_it(run, result, page, tmp_path):
    assert result.images < 150
    assert f"measured on {result.images} images only" in said(page.sections[3])
    several = -(-150 // result.images)
    many = replace(
        result,
        images=result.images * several,
        examples=result.examples * several,
        predictions=result.predictions * several,
        probabilities=result.probabilities.repeat(several, 1),
        gate=result.gate.repeat(several, 1),
    )
    assert "images only" not in said(run_page(run, many, "data", tmp_path).sections[3])
