"""How results are laid out: lines in a pipe, tables on a terminal."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from mocoop import cli
from mocoop.cli import printable
from mocoop.config import preset
from mocoop.reporting.printing import (
    evaluation_record,
    percent,
    print_evaluation,
    print_predictions,
    print_run,
    print_training,
    with_deviation,
)
from mocoop.runs.evaluate import ClassResult, Evaluation
from mocoop.runs.scores import scores_of

SUMMARY = {
    "run": "my runs/one",
    "method": "mocoop",
    "preset": "recommended",
    "shots": 16,
    "seed": 1,
    "split_seed": 0,
    "classes": "base",
    "classnames": ["dog", "cat"],
    "all_classnames": ["dog", "cat", "zebra"],
    "backbone": {"name": "ViT-B-16", "pretrained": "openai", "stand_in": False},
    "data": {"name": "photos", "images": 32, "skipped": [{"path": "a\nb.png", "why": "damaged"}], "notes": ["odd"]},
    "unknown_words": ["quokka", "zebra"],
    "device": "cpu",
    "precision": "float32",
    "threads": 2,
    "versions": {"torch": "2.6"},
    "training": {"epochs": 30, "steps": 30, "seconds": 1.25},
    "notes": ["one expert was never first"],
    "config": {"top_k": 2, "renormalise_mix": True, "tau_class": None, "router_init": "groups", "view_scale": [0.1, 1]},
    "groups": {"domain": "animals"},
    "read": ["top_k", "renormalise_mix", "tau_class", "router_init", "view_scale"],
    "experts": [
        {"id": "plain", "use": 0.75, "init": "a {}.", "templates": ["a {}.", "the {}."]},
        {"id": "night", "use": 0.25, "init": "a {} at night", "templates": ["a {} at night."]},
    ],
    "last_epoch": {
        "loss": 1.0,
        "accuracy": 0.875,
        "terms": {"class": 0.5, "router": 0.25, "text": 0.05},
    },
}
ONE_PROMPT = {
    **SUMMARY,
    "method": "coop",
    "config": {**SUMMARY["config"], "ctx_init": None},
    "read": ["ctx_init"],
    "experts": [{"id": "prompt", "use": 1.0, "init": "random: 16 tokens before {}", "templates": []}],
    "last_epoch": {"loss": 1.0, "accuracy": 0.875, "terms": {}},
}
NOTHING_LEARNED_IN_STEPS = {
    **SUMMARY,
    "method": "linear-probe",
    "read": ["probe_c"],
    "config": {"probe_c": None},
    "training": {"epochs": 0, "steps": 0, "seconds": 0.5},
    "experts": [],
    "last_epoch": {},
}
PREDICTION = {
    "path": "a\tb.png",
    "class": "sea snake",
    "probability": 0.87654,
    "top_k": [],
    "experts": [{"id": "blurry", "weight": 0.9}, {"id": "plain", "weight": 0.1}],
}


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def on_a_terminal(monkeypatch):
    """What a function prints on a terminal."""
    monkeypatch.setenv("TERM", "dumb")  # no escape codes, 80 columns

    def shown(function, *arguments):
        with redirect_stdout(Terminal()) as terminal:
            function(*arguments)
        return terminal.getvalue()

    return shown


def test_printable_keeps_letters_of_all_scripts_and_escapes_what_moves_the_cursor():
    assert printable("Käse, 猫 and حيوان") == "Käse, 猫 and حيوان"
    assert printable("a\r\n\x1b[31m\u2028\u202e\udcff") == r"a\r\n\x1b[31m\u2028\u202e\udcff"


def test_a_path_can_be_pasted_into_a_shell():
    assert cli.command_path("plain/run") == "plain/run"
    assert cli.command_path("my run; rm -rf $HOME") == "'my run; rm -rf $HOME'"


def test_numbers_as_text():
    assert [percent(None), percent(0.12345), percent(0.12345, 0)] == ["-", "12.3%", "12%"]
    assert [with_deviation(71.26, None), with_deviation(71.26, 0.84)] == ["71.3", "71.3 ± 0.8"]


def test_the_end_of_a_training_names_the_next_commands(capsys):
    print_training(SUMMARY, "my photos")
    out, err = capsys.readouterr()
    assert "classes\tbase: 2 of 3\n" in out
    assert "loss\t1.000 (class 0.500, router 0.250, text 0.050)\n" in out
    assert "accuracy, last epoch\t87.5% of the images learned from\n" in out
    assert "mocoop eval 'my runs/one' --data 'my photos' --classes base --classes new\n" in err
    least = {**SUMMARY["last_epoch"], "terms": {"class": 0.5, "router": 0.0, "text": -4e-8}}
    print_training({**SUMMARY, "last_epoch": least}, "photos")
    assert "(class 0.500, router 0.000, text 0.000)" in capsys.readouterr().out
    print_training(SUMMARY, "photos", "my names.json")
    assert "--data photos --class-names 'my names.json' --classes base" in capsys.readouterr().err


def test_a_run_in_a_pipe_is_three_tables_parted_by_empty_lines(capsys):
    print_run(SUMMARY)
    about, experts, settings = (dict(_two(line) for line in part.split("\n")) for part in _tables(capsys))
    assert about["backbone"] == "ViT-B-16, openai"
    assert about["unknown words"] == "quokka, zebra"
    assert about["skipped image"] == r"a\nb.png: damaged"
    assert about["note"] == "one expert was never first"
    assert experts["plain"] == "75%\tthe {}."  # named again in each line
    assert experts["night"] == "25%\ta {} at night."  # after a line of its start, which is no template as written
    assert settings == {  # as --set takes them
        "setting": "value", "top_k": "2", "renormalise_mix": "true", "tau_class": "null", "router_init": "groups",
        "view_scale": "[0.1, 1]",
    }  # fmt: skip


def test_one_prompt_is_shown_by_its_start_and_by_no_gate(capsys):
    print_run(ONE_PROMPT)
    about, prompt, settings = _tables(capsys)
    assert "method\tcoop\n" in about
    assert "loss, last epoch\t1.000\n" in about
    assert prompt.split("\n") == ["templates (* starts it)", "* random: 16 tokens before {}"]
    assert settings.split("\n") == ["setting\tvalue", "ctx_init\tnull"]


def test_what_takes_no_steps_shows_no_loss_and_no_prompt(capsys):
    print_run(NOTHING_LEARNED_IN_STEPS)
    about, settings = _tables(capsys)
    assert "training\tno steps, 0.5 s\n" in about
    assert "loss" not in about
    assert "accuracy" not in about
    assert settings.split("\n") == ["setting\tvalue", "probe_c\tnull"]
    print_training(NOTHING_LEARNED_IN_STEPS, "photos")
    assert "loss" not in capsys.readouterr().out


def test_classes_that_cannot_be_named_are_a_line_with_the_reason(capsys):
    record = evaluation_record(RUN, "photos", [evaluation("base", 80.0, True)], {"new": "it knows no cat"})
    assert (record["harmonic_mean"], record["unnameable"]) == (None, {"new": "it knows no cat"})
    print_evaluation(record, per_class=False)
    assert capsys.readouterr().out.split("\n")[1:3] == [
        "base\t4\t80.00\t-\t-\t-\trecommended\t1 unreadable image skipped",
        "new\t\t-\t-\t-\t-\trecommended\timpossible: it knows no cat",
    ]


def _tables(capsys):
    return capsys.readouterr().out.rstrip("\n").split("\n\n")


def _two(line):
    name, _, rest = line.partition("\t")
    return name, rest


def test_an_expert_is_named_once_on_a_terminal(on_a_terminal):
    shown = on_a_terminal(print_run, SUMMARY)
    assert shown.count("plain") == 1
    assert "* a {}." in shown
    assert "* a {} at night" in shown
    assert "│ the {}." in shown


def test_predictions_come_one_by_one(capsys):
    def predictions():
        yield PREDICTION
        assert capsys.readouterr().out.splitlines() == [
            "path\tclass\tprobability\texperts", "a\\tb.png\tsea snake\t0.8765\tblurry 90%, plain 10%"
        ]  # fmt: skip
        yield {"path": "b.png", "error": "damaged\nPNG"}

    print_predictions(predictions())
    assert capsys.readouterr().out == "b.png\t\t\tnot read: damaged\\nPNG\n"


def test_predictions_that_fail_at_once_print_nothing(capsys):
    def predictions():
        raise RuntimeError
        yield

    with pytest.raises(RuntimeError):
        print_predictions(predictions())
    assert capsys.readouterr().out == ""


def test_predictions_on_a_terminal_are_a_table(on_a_terminal):
    assert r"│ a\tb.png │ sea snake │ 0.8765" in on_a_terminal(print_predictions, [PREDICTION])


def evaluation(classes, accuracy, seen):
    one = ClassResult("dog", 4, 3, 75.0, (0.25, 0.75))
    none = ClassResult("cat", 0, 0, None, (0.0, 0.0))
    return Evaluation(classes, accuracy, 4, (one, none), seen, 1, (), (), (), {})


RUN = SimpleNamespace(
    path="run",
    stand_in=True,
    groups=SimpleNamespace(ids=("plain", "blurry")),
    info={"backbone": {"name": "miniclip"}, "classes": "all", "preset": "recommended", "shots": 16, "seed": 1},
    config=preset("recommended"),
)


def test_base_and_new_give_h_and_what_was_seen_is_said():
    record = evaluation_record(RUN, "photos", [evaluation("base", 80.0, True), evaluation("new", 60.0, True)])
    assert record["harmonic_mean"] == pytest.approx(2 * 80 * 60 / 140)
    assert any("seen in training" in note for note in record["notes"])
    assert any("stand-in" in note for note in record["notes"])


def test_new_classes_that_were_new_have_no_such_note():
    record = evaluation_record(RUN, "photos", [evaluation("base", 80.0, True), evaluation("new", 60.0, False)])
    assert not any("seen in training" in note for note in record["notes"])
    assert evaluation_record(RUN, "photos", [evaluation("new", 60.0, False)])["harmonic_mean"] is None


def test_an_evaluation_is_a_line_a_set_and_a_line_a_class(capsys):
    print_evaluation(evaluation_record(RUN, "photos", [evaluation("new", 60.0, True)]), per_class=True)
    out, err = capsys.readouterr()
    assert out.split("\n") == [
        "classes\timages\taccuracy %\tbalanced %\tworst class %\tlargest class %\tpreset\tremark",
        "new\t4\t60.00\t-\t-\t-\trecommended\tseen in training; 1 unreadable image skipped",
        "",
        "classes\tclass\timages\taccuracy %\tfirst expert",
        "new\tdog\t4\t75.0\tblurry 75%",
        "new\tcat\t0\t-\t-",
        "",
    ]
    assert err.count("note: ") == 2


def test_what_stands_beside_an_accuracy_and_how_many_images_there_are(capsys):
    scores = scores_of(torch.tensor([0, 0, 0, 1]), torch.tensor([0, 0, 0, 0]), ["dog", "cat"])
    one = replace(evaluation("all", 75.0, True), scores=scores, images_in_data=9, notes=("said",), skipped=0)
    missing = {"linear probe": "it is not here"}
    both = replace(one, baselines={"zero-shot": scores}, missing=missing, training_free={"zero-shot": 75.0})
    print_evaluation(evaluation_record(RUN, "photos", [both], data_notes=["odd data"]), per_class=False)
    out, err = capsys.readouterr()
    assert out.split("\n")[1:4] == [
        "all\t4 of 9\t75.00\t75.0\t75.0\t100.0\trecommended\t",
        "all\t4 of 9\t75.00\t75.0\t75.0\t100.0\t-\tzero-shot",
        "all\t4 of 9\t-\t-\t-\t-\t-\tlinear probe: it is not here",
    ]
    assert err.splitlines()[:2] == ["note: odd data", "note: said"]
