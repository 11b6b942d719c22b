"""`mocoop predict` into a file and into sorted folders, as it is typed."""

from __future__ import annotations

import csv
import json
import random
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from command_line import predict
from datafiles import put_image
from killing import attempts
from pyarrow import parquet

from mocoop.bulk import shards
from mocoop.commands import predictions
from mocoop.runs.run import Run


@pytest.fixture(scope="module")
def run(runs):
    return runs["all"]


@pytest.fixture
def photos(tmp_path):
    """Five pictures, two of them of one name, and one that is none."""
    for number, name in enumerate(("0.png", "1.png", "2.png", "more/0.png", "more/3.png")):
        put_image(tmp_path / "photos" / name, number)
    (tmp_path / "photos" / "2.png").write_bytes(b"GIF89a")
    return tmp_path / "photos"


def printed(run, *more):
    return [json.loads(line) for line in predict(run, *more, "--json", "--on-bad-image", "skip").out.splitlines()]


def tree(folder):
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() or path.is_symlink())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_json_lines_are_those_that_are_printed(run, photos, tmp_path):
    out = tmp_path / "new" / "out.jsonl"
    done = predict(run, photos, photos / "1.png", "-o", out)
    assert done.code == 0, done.err
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert rows == printed(run, photos, photos / "1.png")
    assert [path.name for path in out.parent.iterdir()] == ["out.jsonl"]
    assert done.out.splitlines()[0].split("\t") == ["class", "images", "share %", "mean probability"]
    assert f"not read: {photos / '2.png'}: this is a GIF" in done.err
    assert f"{out}: 6 images, 1 of them not read" in done.err


def test_tables_and_pages_hold_the_same(run, photos, tmp_path):
    for suffix in ("csv", "parquet", "html"):
        done = predict(run, photos, "-o", tmp_path / f"out.{suffix}", "--unsure-below", 0.99)
        assert done.code == 0, done.err
    rows = printed(run, photos, "--unsure-below", 0.99)
    table = parquet.read_table(tmp_path / "out.parquet").to_pylist()
    assert [{key: value for key, value in row.items() if value is not None} for row in table] == rows
    with (tmp_path / "out.csv").open(newline="") as file:
        flat = list(csv.DictReader(file))
    for line, row in zip(flat, rows, strict=True):
        assert (line["path"], line["class"], line["error"]) == (row["path"], row.get("class", ""), row.get("error", ""))
        if "class" in row:
            assert float(line["probability"]) == row["probability"]
            assert (line["second"], line["expert"]) == (row["top_k"][1]["class"], row["experts"][0]["id"])
            assert (line["unsure"] == "yes") is row.get("unsure", False)
    page = (tmp_path / "out.html").read_text()
    assert page.count("<img ") == 4
    assert "<script" not in page
    header, *lines = (line.split("\t") for line in done.out.splitlines())
    assert header[-1] == "not sure"
    assert sum(int(line[-1]) for line in lines) == sum(row.get("unsure", False) for row in rows)


@pytest.mark.parametrize(
    ("experts", "keys"), [("full", ["id", "weight", "templates"]), ("ids", ["id", "weight"]), ("none", None)]
)
def test_as_much_is_said_of_the_experts_as_asked_for(run, photos, tmp_path, experts, keys):
    row = printed(run, photos / "0.png", "--experts", experts)[0]
    assert (list(row["experts"][0]) if "experts" in row else None) == keys
    predict(run, photos / "0.png", "--experts", experts, "-o", tmp_path / "out.jsonl")
    assert json.loads((tmp_path / "out.jsonl").read_text()) == row
    if experts == "ids":
        assert printed(run, photos / "0.png")[0] == row
    table = predict(run, photos / "0.png", "--experts", experts).out.splitlines()
    assert table[0].endswith("\tremark" if experts == "none" else "\texperts")


@pytest.mark.parametrize("link", [False, True])
def test_images_are_sorted_into_a_folder_a_class(run, photos, tmp_path, link):
    out = tmp_path / "sorted"
    command = (photos, "--sort-into", out, "--unsure-below", 0.4, *(["--link"] if link else []))
    done = predict(run, *command)
    assert done.code == 0, done.err
    rows = printed(run, photos, "--unsure-below", 0.4)
    wanted = sorted("not sure" if "unsure" in row else row["class"] for row in rows if "class" in row)
    there = tree(out)
    record = there.pop("_job.json")
    assert sorted(name.partition("/")[0] for name in there) == wanted
    assert sorted(there.values()) == sorted((photos / row["path"]).read_bytes() for row in rows if "class" in row)
    assert not (out / ".parts").exists()
    assert f"{out}: 4 images in {len(set(wanted))} folder" in done.err
    assert predict(run, *command).code == 0  # the same again changes nothing
    assert tree(out) == {"_job.json": record, **there}
    other = predict(run, photos, "--sort-into", out)
    assert (other.code, "holds another job" in other.err) == (2, True)
    assert "give another --sort-into, or the command" in other.err


def holder(lock, path):
    """A process that writes to a path, until its stdin is closed."""
    script = """
        import sys
        from pathlib import Path
        from mocoop.files import sole_writer

        with sole_writer(Path(sys.argv[1]), sys.argv[2], "writing"):
            print(flush=True)
            sys.stdin.read()
    """
    call = [sys.executable, "-c", textwrap.dedent(script), lock, path]
    process = subprocess.Popen(call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    process.stdout.readline()  # it has the lock
    return process


def test_two_at_once_do_not_write_the_same(run, photos, tmp_path):
    out, folder = tmp_path / "out.csv", tmp_path / "sorted"
    for path, lock, option in ((out, tmp_path / ".out.csv.lock", "-o"), (folder, folder / ".lock", "--sort-into")):
        with holder(lock, path) as other:
            code, _, said = predict(run, photos, "-o", out, "--sort-into", folder)
            assert code == 6
            assert f"another process (pid {other.pid}) is" in said
            assert str(path) in said.splitlines()[0]
            assert f"wait for it, or choose another {option}" in said
            other.kill()  # the lock's file stays, and holds nobody
        assert lock.exists()
        assert not out.exists()
    done = predict(run, photos, "-o", out, "--sort-into", folder)
    assert done.code == 0, done.err
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    assert not (folder / ".lock").exists()


def test_a_file_of_another_command_is_replaced_only_by_force(run, photos, tmp_path):
    out = tmp_path / "out.jsonl"
    first = (photos / "0.png", "-o", out)
    assert predict(run, *first).code == 0
    before = out.read_bytes()
    assert predict(run, *first).code == 0  # the same again
    for other in ((photos / "1.png", "-o", out), (*first, "--top", 2)):
        code, _, said = predict(run, *other)
        assert (code, f"{out} is there already" in said, "add --force" in said) == (2, True, True)
        assert out.read_bytes() == before
        assert sorted(path.name for path in tmp_path.iterdir()) == ["out.jsonl", "photos"]  # no parts are left
    out.write_text("edited\n")
    assert predict(run, *first).code == 2
    assert predict(run, *first, "--force").code == 0
    assert out.read_bytes() == before
    out.write_bytes(b"")  # as mktemp leaves it
    assert predict(run, photos / "1.png", "-o", out).code == 0
    assert predict(run, photos, "--force").code == 2  # replaces nothing


def test_what_was_begun_by_force_is_gone_on_with(run, photos, tmp_path, monkeypatch):
    out = tmp_path / "out.csv"
    out.write_text("mine\n")

    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(predictions, "_write", stopped)
    assert predict(run, photos, "-o", out, "--force").code == 130
    monkeypatch.undo()
    assert predict(run, photos, "-o", out).code == 0
    assert out.read_text().startswith("path,")


def test_what_cannot_be_written_is_named_as_it_was_given(run, photos, tmp_path):
    (tmp_path / "file").write_text("x")
    for option, path in (("-o", tmp_path / "file" / "out.csv"), ("--sort-into", tmp_path / "file" / "sorted")):
        code, _, said = predict(run, photos, option, path)
        assert (code, said.splitlines()[0]) == (6, f"mocoop: cannot write {path}: Not a directory")


def test_a_bad_image_is_an_end_if_that_is_asked_for(run, photos, tmp_path):
    out = tmp_path / "out.csv"
    code, _, said = predict(run, photos, "-o", out, "--on-bad-image", "fail")
    assert (code, "2.png: this is a GIF" in said, out.exists()) == (4, True, False)
    assert predict(run, photos, "-o", out).code == 0  # goes on


def test_the_parts_of_another_command_are_refused(run, photos, tmp_path, monkeypatch):
    out = tmp_path / "out.csv"

    def full(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(predictions, "_write", full)
    stopped = predict(run, photos, "-o", out)
    assert stopped.code == 130
    assert "the same command again goes on where this one stopped" in stopped.err
    monkeypatch.undo()
    code, _, said = predict(run, photos, "-o", out, "--top", 2)
    assert code == 2
    assert ".out.csv.parts holds another job: its top is 5, not 2" in said
    assert "to begin anew, remove it" in said
    assert predict(run, photos, "-o", out).code == 0
    assert not (tmp_path / ".out.csv.parts").exists()


def test_what_makes_no_sense_is_refused_in_a_line(run, photos, world, tmp_path):
    refused = {
        ("-o", tmp_path / "out.xlsx"): "this name tells no form",
        ("-o", tmp_path / "out.csv", "--json"): "--json prints",
        ("--link",): "--link is for --sort-into",
        ("--sort-into", photos / "sorted"): "are one in the other",
        ("--sort-into", tmp_path): "are one in the other",
    }
    for more, why in refused.items():
        code, _, said = predict(run, photos, *more)
        assert (code, why in said) == (2, True), said
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.doc").write_text("x")
    assert "is not empty" in predict(run, photos, "--sort-into", tmp_path / "mine").err
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.doc"]


class TestFeatures:
    @pytest.fixture
    def features(self, run, tmp_path):
        wide = Run.open(run).info["backbone"]["embed_dim"]
        x = np.random.default_rng(0).normal(size=(600, wide)).astype(np.float32)
        np.savez(tmp_path / "x.npz", features=x)
        return tmp_path / "x.npz"

    def test_rows_of_features_are_predicted_in_parts(self, run, features, tmp_path, monkeypatch):
        shards._features.cache_clear()
        monkeypatch.setattr(Run, "load_backbone", None)  # is not needed
        done = predict(run, features, "-o", tmp_path / "out.jsonl")
        assert done.code == 0, done.err
        rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
        expected = printed(run, features)
        assert [row["path"] for row in rows] == [row["path"] for row in expected]
        assert [row["class"] for row in rows] == [row["class"] for row in expected]
        found, wanted = ([row["probability"] for row in some] for some in (rows, expected))
        np.testing.assert_allclose(found, wanted, atol=2e-6)

    def test_they_stand_among_images(self, run, photos, features, tmp_path):
        assert predict(run, photos / "0.png", features, photos / "1.png", "-o", tmp_path / "out.jsonl").code == 0
        paths = [json.loads(line)["path"] for line in (tmp_path / "out.jsonl").read_text().splitlines()]
        assert (len(paths), paths[0], paths[-1]) == (602, str(photos / "0.png"), str(photos / "1.png"))
        assert predict(run, features, "-o", tmp_path / "out.html").code == 0
        assert "<img " not in (tmp_path / "out.html").read_text()

    def test_they_cannot_be_sorted_and_other_widths_are_refused(self, run, features, tmp_path):
        code, _, said = predict(run, features, "--sort-into", tmp_path / "sorted")
        assert (code, "holds features, which cannot be sorted" in said) == (2, True)
        np.savez(tmp_path / "narrow.npz", features=np.ones((3, 7), np.float32))
        code, _, said = predict(run, tmp_path / "narrow.npz", "-o", tmp_path / "out.csv")
        assert (code, "are 7 wide" in said) == (4, True)


@pytest.mark.slow  # nine starts of the command for each kind of file
def test_kills_at_random_leave_the_same_files(run, photos, tmp_path):
    """Whatever the moment, the same command ends with the same file and the same folders."""
    chance = random.Random(5)
    points = [("bulk-row", 5), ("after-part", 1), ("sort-image", 5), ("before-file", 1), ("remove-part", 1)]
    for suffix in ("csv", "parquet"):
        command = ["predict", run, photos, "--device", "cpu", "--threads", 1, "--unsure-below", 0.4]
        places = [f"SIGKILL:{name}:{chance.randrange(count)}" for name, count in chance.choices(points, k=4)]
        places += [f"SIGKILL:{name}:{count - 1}" for name, count in points[2:]]
        whole, killed = (("-o", f / f"out.{suffix}", "--sort-into", f / "s") for f in (tmp_path / "a", tmp_path / "b"))
        ended, said = attempts(command, [(whole, ""), *((killed, place) for place in places), (killed, "")])
        assert (ended[0], ended[-1]) == (0, 0), said
        assert ended.count(-signal.SIGKILL) >= 3, said
        assert tree(tmp_path / "a") == tree(tmp_path / "b")
