"""Class names at the command line: pairs are shown, position needs leave, the run keeps the names."""

from __future__ import annotations

import io
import json
import shutil
import sys

import pytest
from command_line import Terminal, call, evaluate, info, small_world, train
from worlds import CLASSNAMES


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """The small world with numbers for class folders, which say nothing by themselves: 10, 11, ..."""
    folder = tmp_path_factory.mktemp("names")
    made = small_world(folder)
    for part in ("train", "test"):
        for number, name in enumerate(CLASSNAMES):
            (made["photos"] / part / name.replace(" ", "_")).rename(made["photos"] / part / str(10 + number))
    return made


@pytest.fixture
def names(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("\n".join(CLASSNAMES))
    return path


@pytest.fixture
def keyed(tmp_path):
    path = tmp_path / "keyed.txt"
    path.write_text("\n".join(f"{10 + number}: {name}" for number, name in reversed(list(enumerate(CLASSNAMES)))))
    return path


PAIRS = f"class names: 10 -> {CLASSNAMES[0]}, 11 -> {CLASSNAMES[1]}, 12 -> {CLASSNAMES[2]}, ... (6)"


def test_names_go_by_key_and_the_run_keeps_them(world, keyed, tmp_path):
    done = train(world, tmp_path / "run", "--class-names", keyed)
    assert done.code == 0, done.err
    assert f"{PAIRS}, by key" in done.err
    assert info(tmp_path / "run")["names_by_key"] == {str(10 + i): name for i, name in enumerate(CLASSNAMES)}
    plain = evaluate(world, tmp_path / "run", "--json")
    given = evaluate(world, tmp_path / "run", "--json", "--class-names", keyed)
    assert plain.code == given.code == 0, plain.err
    assert [row["name"] for row in json.loads(plain.out)["results"][0]["per_class"]] == list(CLASSNAMES)
    assert json.loads(plain.out)["results"] == json.loads(given.out)["results"]
    assert f"note: {PAIRS}, by key" in given.err


def test_position_is_refused_unless_it_is_allowed_and_not_asked_for_again(world, names, tmp_path):
    refused = train(world, tmp_path / "run", "--class-names", names)
    assert refused.code == 4
    assert f"only go by position: 10 -> {CLASSNAMES[0]}" in refused.err
    assert "--names-by-position" in refused.err
    done = train(world, tmp_path / "run", "--class-names", names, "--names-by-position")
    assert done.code == 0, done.err
    assert f"{PAIRS}, by position" in done.err
    again = evaluate(world, tmp_path / "run", "--class-names", names)  # the same names: the run knows where they go
    assert again.code == 0, again.err
    assert f"{PAIRS}, as in the training" in again.err
    assert evaluate(world, tmp_path / "run").code == 0


class Keyboard(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("typed", "code"), [("y\n", 0), ("n\n", 4)])
def test_a_person_at_a_terminal_is_asked(world, names, tmp_path, monkeypatch, typed, code):
    monkeypatch.setattr(sys, "stdin", Keyboard(typed))
    run = tmp_path / "run"
    done = call(
        "train", "--groups", world["groups"], "--data", world["photos"], "--backbone", f"local-dir:{world['backbone']}",
        "--epochs", 1, "--shots", 2, "--device", "cpu", "--no-cache", "-o", run, "--class-names", names,
        out=Terminal(),
    )  # fmt: skip
    assert done.code == code, done.err
    assert f"  15 -> {CLASSNAMES[5]}" in done.err
    assert "are these pairs right?" in done.err
    assert run.joinpath("model.safetensors").is_file() is (code == 0)


def test_bench_and_tune_say_the_pairs_too(world, keyed, names, tmp_path):
    common = ("--data", world["photos"], "--shots", 1, "--device", "cpu", "--no-cache",
              "--backbone", f"local-dir:{world['backbone']}", "-o")  # fmt: skip
    bench = ("bench", "few-shot", "--methods", "zero-shot", "--seeds", 1, *common)
    done = call(*bench, tmp_path / "r.jsonl", "--class-names", keyed)
    assert done.code == 0, done.err
    assert done.err.count(f"note: photos: {PAIRS}, by key") == 1
    assert call(*bench, tmp_path / "r.jsonl", "--class-names", names).code == 4
    assert call(*bench, tmp_path / "r.jsonl", "--class-names", names, "--names-by-position", "--dry-run").code == 0


def test_other_names_of_columns(world, tmp_path):
    root = shutil.copytree(world["photos"], tmp_path / "photos")
    lines = [f"{path.relative_to(root)};{CLASSNAMES[int(path.parent.name) - 10]};{path.parent.parent.name};{i}"
             for i, path in enumerate(sorted(root.rglob("*.png")))]  # fmt: skip
    (root / "table.csv").write_text("\n".join(["where;kind;part;label", *lines]))
    columns = ("--columns", "path=where,label=kind,split=part")
    moved = {**world, "photos": root / "table.csv"}
    done = train(moved, tmp_path / "run", *columns)
    assert done.code == 0, done.err
    assert "columns not used: label" in done.err
    assert evaluate(moved, tmp_path / "run", *columns).code == 0
    wrong = train(moved, tmp_path / "other", "--columns", "where")
    assert wrong.code == 2
    assert "--columns 'where' names no columns" in wrong.err


def test_a_test_folder_without_one_class(world, keyed, tmp_path):
    assert train(world, tmp_path / "run", "--class-names", keyed).code == 0
    root = shutil.copytree(world["photos"], tmp_path / "photos")
    for part in ("train", "test"):
        shutil.rmtree(root / part / "12")
    done = evaluate({**world, "photos": root}, tmp_path / "run")
    assert done.code == 0, done.err
    assert f"no images of {CLASSNAMES[2]}: measured on the 5 classes of photos; the answers are among all 6" in done.err
    (root / "test" / "12").mkdir()
    for part in ("train", "test"):
        (root / part / "13").rename(root / part / "moor")
    done = evaluate({**world, "photos": root}, tmp_path / "run")
    assert done.code == 4
    assert f"the training did not have: moor; missing: {CLASSNAMES[2]}, {CLASSNAMES[3]}" in done.err


def test_other_classes_that_say_little_are_noted_by_predict(world, keyed, tmp_path):
    assert train(world, tmp_path / "run", "--class-names", keyed).code == 0
    (tmp_path / "classes.txt").write_text("n01440764 tench\nlake\n")
    done = call("predict", tmp_path / "run", world["photos"] / "test" / "10", "--device", "cpu",
                "--classes-file", tmp_path / "classes.txt")  # fmt: skip
    assert done.code == 0, done.err
    assert "note: class names that say little to a text tower: n01440764 tench (a leading id)" in done.err
