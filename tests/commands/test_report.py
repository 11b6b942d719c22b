"""`mocoop report` from the command line: forms, references, what is wrong, and images with a run."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from datafiles import put_classes
from result_rows import drawn_rows, write_rows
from worlds import plan_for, write_world

from mocoop import cli
from mocoop.commands.report import report
from mocoop.config import preset
from mocoop.runs.train import train


@pytest.fixture
def results(tmp_path):
    return write_rows(tmp_path / "results.jsonl", drawn_rows(seeds=(1, 2), methods=("coop", "mocoop")))


@pytest.fixture
def typed_report(capfd):
    """`typed_report(path, "-o", out)` runs the command and returns its exit code and stderr."""

    def run(*arguments):
        with pytest.raises(SystemExit) as left:
            cli.run(report, "mocoop report", [str(argument) for argument in arguments])
        return left.value.code, capfd.readouterr().err

    return run


def test_the_suffix_says_the_form(typed_report, results, tmp_path):
    for name, begins in (("r.html", "<!doctype html>"), ("r.md", "# Mine\n"), ("r.csv", "table,row,column,")):
        code, said = typed_report(results, "-o", tmp_path / name, "--title", "Mine")
        assert code == 0
        assert f"report: {tmp_path / name}  (8 results)" in said
        assert (tmp_path / name).read_text(encoding="utf-8").startswith(begins)


def test_other_forms_stand_beside_it(typed_report, results, tmp_path):
    code, _ = typed_report(results, "-o", tmp_path / "r.html", "--also", "md", "--also", "csv", "--also", "html")
    assert code == 0
    assert sorted(path.name for path in tmp_path.glob("r.*")) == ["r.csv", "r.html", "r.md"]


def test_files_are_put_together(typed_report, results, tmp_path):
    more = write_rows(tmp_path / "more.jsonl", drawn_rows(seeds=(3,), methods=("coop", "mocoop")))
    code, said = typed_report(results, more, "-o", tmp_path / "r.md")
    assert (code, "(12 results)" in said) == (0, True)
    assert "6 of 6 cells" in (tmp_path / "r.md").read_text(encoding="utf-8")


def test_the_reference_can_be_another(typed_report, results, tmp_path):
    assert typed_report(results, "-o", tmp_path / "r.md", "--reference", "coop")[0] == 0
    assert "Each method against CoOp" in (tmp_path / "r.md").read_text(encoding="utf-8")
    code, said = typed_report(results, "-o", tmp_path / "r.md", "--reference", "lasp")
    assert code == 2
    assert "no result is of the method 'lasp'" in said
    assert "there are coop, mocoop" in said


def test_a_bad_line_is_named_and_nothing_is_written(typed_report, results, tmp_path):
    with results.open("a") as file:
        file.write('{"format": 1}\n' + json.dumps(drawn_rows()[0]) + "\n")
    code, said = typed_report(results, "-o", tmp_path / "r.html")
    assert code == 4
    assert f"{results}:9: this is not a result" in said
    assert not (tmp_path / "r.html").exists()


def test_an_empty_file_and_a_wrong_suffix_are_told(typed_report, results, written, tmp_path):
    code, said = typed_report(written("empty.jsonl", ""), "-o", tmp_path / "r.html")
    assert (code, "there is no result in" in said) == (4, True)
    code, said = typed_report(results, "-o", tmp_path / "r.pdf")
    assert (code, "one of .html, .md, .csv" in said) == (2, True)
    assert typed_report(tmp_path / "missing.jsonl", "-o", tmp_path / "r.html")[0] == 2
    code, said = typed_report(results, "-o", tmp_path / "r.html", "--images", tmp_path)
    assert (code, "--run and --images go together" in said) == (2, True)


def test_images_with_a_run_are_shown(typed_report, results, tmp_path):
    photos = put_classes(tmp_path / "photos", {f"{part}/{name}": 3 for part in ("train", "test") for name in "ab"})
    config = preset("recommended", epochs=1)
    run = train(plan_for(write_world(tmp_path), tmp_path / "run", config, data=photos, shots=3))
    options = ("--run", run.path, "--images", photos / "test", "--most-images", 4)
    assert typed_report(results, "-o", tmp_path / "r.html", "--also", "md", *options)[0] == 0
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert page.count('src="data:image/png;base64,') == 4
    assert "a blurry photo of a {}." in page or "a photo of a {}. / a picture of a {}." in page
    assert "Which templates are chosen for an image" in (tmp_path / "r.md").read_text(encoding="utf-8")


def test_it_is_a_command_of_mocoop_that_loads_nothing_heavy_for_help():
    code = "import sys; from mocoop.commands import mocoop; assert 'report' in mocoop.commands; " + (
        "assert not {'torch', 'numpy', 'matplotlib', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_help_shows_examples(capsys):
    with pytest.raises(SystemExit) as left:
        cli.run(report, "mocoop report", ["--help"])
    assert left.value.code == 0
    said = capsys.readouterr().out
    assert "mocoop report results.jsonl -o report.html --also csv --also md" in said
    assert "--run run/ --images photos/" in said


class TestOneRun:
    """A run folder instead of files of rows."""

    @pytest.fixture(scope="class")
    def world(self, tmp_path_factory):
        return write_world(tmp_path_factory.mktemp("world"))

    @pytest.fixture(scope="class")
    def run(self, world, tmp_path_factory):
        config = preset("recommended", epochs=2, lr=0.01, batch_size=16)
        return train(plan_for(world, tmp_path_factory.mktemp("runs") / "mine", config)).path

    def test_it_is_measured_and_written(self, typed_report, run, world, tmp_path):
        code, said = typed_report(run, "--data", world["data"], "-o", tmp_path / "r.html", "--also", "csv")
        assert code == 0, said
        assert f"report: {tmp_path / 'r.csv'}" in said
        page = (tmp_path / "r.html").read_text(encoding="utf-8")
        assert "What mine learned" in page
        assert "test images it names" in page
        assert "Next: " in page
        assert "wrong,1,is," in (tmp_path / "r.csv").read_text(encoding="utf-8")

    def test_without_data_it_says_what_was_trained(self, typed_report, run, tmp_path):
        assert typed_report(run, "-o", tmp_path / "r.md")[0] == 0
        assert "give --data" in (tmp_path / "r.md").read_text(encoding="utf-8")

    @pytest.mark.parametrize("more", [("--reference", "coop"), ("--run", ".", "--images", ".")])
    def test_options_of_results_are_refused(self, typed_report, run, tmp_path, more):
        code, said = typed_report(run, "-o", tmp_path / "r.md", *more)
        assert (code, "belongs to results of mocoop bench" in said) == (2, True)

    def test_a_run_stands_alone(self, typed_report, run, results, tmp_path):
        code, said = typed_report(run, results, "-o", tmp_path / "r.md")
        assert (code, "a run is reported alone" in said) == (2, True)

    def test_data_belong_to_a_run(self, typed_report, results, tmp_path):
        code, said = typed_report(results, "--data", tmp_path, "-o", tmp_path / "r.md")
        assert (code, "--data belongs to a run" in said) == (2, True)

    def test_a_folder_that_is_no_run_says_so(self, typed_report, tmp_path):
        code, said = typed_report(tmp_path, "-o", tmp_path / "r.md")
        assert code == 6
        assert "run.json" in said
