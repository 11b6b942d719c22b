"""The folder of a job: parts whole or not there, resumed by the same command, refused to another."""

from __future__ import annotations

import json

import pytest
from datafiles import put_image

from mocoop.bulk import parts as parts_module
from mocoop.bulk.parts import Parts, open_job, summarise
from mocoop.errors import StorageError, UsageError
from mocoop.runs.run import Run

ROW = {"path": "a.png", "class": "dog", "probability": 0.5, "top_k": [{"class": "dog", "probability": 0.5}],
       "experts": [{"id": "plain", "weight": 1.0}]}  # fmt: skip
BAD = {"path": "b.png", "error": "the file is empty"}


def content(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
@pytest.mark.parametrize("rows", [[], [ROW, BAD], [ROW] * 2500])
def test_a_part_holds_its_rows(tmp_path, form, rows):
    parts = Parts(tmp_path, 1, form, "ids")
    parts.write(0, iter(rows))
    assert [path.name for path in tmp_path.iterdir()] == [f"part-00000.{form}"]
    assert [row["path"] for row in parts.rows(0)] == [row["path"] for row in rows]
    assert parts.missing() == []


def test_a_part_that_is_broken_off_is_not_there(tmp_path):
    def rows():
        yield ROW
        raise KeyboardInterrupt

    for form in ("jsonl", "parquet"):
        parts = Parts(tmp_path, 1, form, "ids")
        with pytest.raises(KeyboardInterrupt):
            parts.write(0, rows())
        assert parts.missing() == [0]
    assert list(tmp_path.iterdir()) == []


def test_names_of_parts_are_in_order_however_many(tmp_path):
    parts = Parts(tmp_path, 2_000_000, "jsonl", "ids")
    names = [parts.path(number).name for number in (0, 9, 99_999, 100_000, 1_999_999)]
    assert names == sorted(names)


def test_a_text_that_no_file_can_hold_is_escaped(tmp_path):
    parts = Parts(tmp_path, 1, "jsonl", "ids")
    parts.write(0, [{**ROW, "class": "\udcff"}])
    assert json.loads((tmp_path / "part-00000.jsonl").read_text())["path"] == "a.png"


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
@pytest.mark.parametrize("doubt", [(), ("unsure",)])
def test_the_summary_counts_classes_and_failures(tmp_path, form, doubt):
    parts = Parts(tmp_path, 2, form, "ids", doubt)
    parts.write(0, [ROW, BAD, {**ROW, "probability": 0.25, "trained_on": True, **({"unsure": True} if doubt else {})}])
    parts.write(1, [{**ROW, "class": "cat"}, BAD])
    summary = summarise(parts, ["cat", "dog", "eel"])
    unsure = {"unsure": {"cat": 0, "dog": 1, "eel": 0}} if doubt else {}
    assert summary == {
        "images": 5, "failed": 2, "trained_on": 1, "classes": {"cat": 1, "dog": 2, "eel": 0},
        "mean_probability": {"cat": 0.5, "dog": 0.375, "eel": None}, **unsure, "first_failed": [BAD, BAD],
    }  # fmt: skip
    assert json.loads((tmp_path / "_summary.json").read_text()) == summary


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_parts_are_joined_and_removed(tmp_path, form):
    parts = Parts(tmp_path / "parts", 3, form, "ids")
    open_job(parts.out, {}, {})
    for number, rows in enumerate(([ROW, BAD], [], [{**ROW, "path": "c.png"}] * 1500)):
        parts.write(number, rows)
    parts.join(tmp_path / f"out.{form}")
    joined = Parts(tmp_path, 1, form, "ids")
    joined.path = lambda _number: tmp_path / f"out.{form}"
    assert list(joined.rows(0)) == [row for number in range(3) for row in parts.rows(number)]
    (parts.out / "thesis.doc").write_text("x")
    parts.remove()
    assert [path.name for path in parts.out.iterdir()] == ["thesis.doc"]
    (parts.out / "thesis.doc").unlink()
    parts.remove()
    assert not parts.out.exists()


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_a_damaged_part_is_named(tmp_path, form):
    parts = Parts(tmp_path, 1, form, "ids")
    parts.write(0, [ROW])
    path = parts.path(0)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(StorageError, match=r"part-00000\.\w+ is damaged.*remove it and give the same command"):
        summarise(parts, ["dog"])


def test_the_same_job_goes_on_and_another_is_refused_with_what_differs(tmp_path):
    out = tmp_path / "deep" / "out"
    open_job(out, {"top": 5, "run": "a" * 64}, {"source": "x"})
    before = content(out)
    open_job(out, {"top": 5, "run": "a" * 64}, {"source": "y"})
    assert content(out) == before
    with pytest.raises(UsageError, match="holds another job: its top is 5, not 3; its run is another, or has changed"):
        open_job(out, {"top": 3, "run": "b" * 64}, {"source": "x"})


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "thesis.doc").write_text("x")
    with pytest.raises(UsageError, match=r"is not empty and holds no bulk prediction: thesis\.doc"):
        open_job(tmp_path, {}, {})
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.doc"]


@pytest.mark.parametrize("record", ["[]", "{}", '{"format": 99, "job": {}}', "no"])
def test_a_damaged_record_is_told(tmp_path, record):
    (tmp_path / parts_module.JOB).write_text(record)
    with pytest.raises(StorageError):
        open_job(tmp_path, {}, {})


class TestAJob:
    def test_whole_parts_are_not_done_again(self, bulk, photos, tmp_path):
        out = tmp_path / "out"
        bulk(photos, out)
        before = content(out)
        stamps = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
        (out / "part-00001.jsonl").unlink()
        _, notes = bulk(photos, out)
        assert "going on: 2 of 3 parts are there" in notes
        assert content(out) == before
        changed = {path.name for path in out.iterdir() if path.stat().st_mtime_ns != stamps[path.name]}
        assert changed == {"part-00001.jsonl"}

    def test_a_finished_job_loads_no_backbone(self, bulk, photos, tmp_path, monkeypatch):
        bulk(photos, tmp_path / "out")
        monkeypatch.setattr(Run, "load_backbone", None)
        bulk(photos, tmp_path / "out")

    def test_what_decides_the_rows_may_not_change(self, bulk, tmp_path):
        for seed in range(3):
            put_image(tmp_path / "in" / f"{seed}.png", seed)
        out = tmp_path / "out"
        bulk(tmp_path / "in", out)
        for change, said in (
            ({"form": "parquet"}, 'its format is "jsonl", not "parquet"'),
            ({"part_size": 3}, "its part size is 4, not 3"),
            ({"top": 2}, "its top is 5, not 2"),
            ({"experts": "none"}, 'its experts is "ids", not "none"'),
            ({"precision": "bfloat16"}, 'its precision is "auto", not "bfloat16"'),
            ({"classnames": ("zebra", "dog")}, r'its classes is null, not \["zebra", "dog"\]'),
        ):
            with pytest.raises(UsageError, match=said):
                bulk(tmp_path / "in", out, **change)
        bulk(tmp_path / "in", out, on_bad_image="fail")  # which decides only whether there are rows
        put_image(tmp_path / "in" / "more.png", 9)
        with pytest.raises(UsageError, match="its source is another, or has changed"):
            bulk(tmp_path / "in", out)
