"""Printing the results of the commands: tables on a terminal, tab-separated lines in a pipe.

Numbers are computed elsewhere; `cli.py` draws the tables and makes every text in them printable.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mocoop import cli
from mocoop.cli import on_terminal, printable, show_table

if TYPE_CHECKING:
    from mocoop.data.splits import Half
    from mocoop.runs.evaluate import Evaluation
    from mocoop.runs.run import Run

STAND_IN = "miniclip is a stand-in trained on drawings: these numbers say nothing about CLIP"
SEEN = "seen in training"
_MOST_EXPERTS = 3  # shown with a prediction
NAMES_NOTE = "the text loss read the names of {} classes that were not trained on (extra_class_names)"
SEEN_NOTE = "the new classes were seen in training: their accuracy and H are no measure of new classes"


def percent(share: float | None, digits: int = 1) -> str:
    """A fraction as a percentage; "-" for None."""
    return "-" if share is None else f"{100 * share:.{digits}f}%"


def print_training(summary: Mapping[str, Any], data: Path, class_names: Path | None = None) -> None:
    """The result of a training run in a few lines, and the next commands for the same data and names."""
    last, training = summary["last_epoch"], summary["training"]
    rows = [
        ("run", summary["run"]),
        ("backbone", _backbone(summary)),
        ("classes", _trained_on(summary)),
        ("training", _training(training)),
        *([("loss", _losses(last)), ("accuracy, last epoch", _learned(last))] if training["steps"] else []),
        *([("router", summary["collapse"])] if summary.get("collapse") else []),
        *_calibration(summary),
    ]
    show_table(("what", "value"), rows)
    parts = " --classes base --classes new" if summary["classes"] == "base" else ""
    say_next(summary["run"], summary["backbone"]["name"], data, class_names, parts)


def say_next(run: Path | str, backbone: str, data: Path, class_names: Path | None, parts: str = "") -> None:
    """The commands that come after a training: the one that measures it, and the one that uses it."""
    from mocoop.backbone.backbone import FEATURES  # here, as it brings torch

    names = f" --class-names {cli.command_path(class_names)}" if class_names else ""
    more = "FEATURES.npz" if backbone.startswith(FEATURES) else "IMAGE..."
    cli.say(f"next: mocoop eval {cli.command_path(run)} --data {cli.command_path(data)}{names}{parts}")
    cli.say(f"      mocoop predict {cli.command_path(run)} {more}")


def print_run(summary: Mapping[str, Any]) -> None:
    """A run: its summary, its experts with their templates, its settings."""
    training, versions, data, last = summary["training"], summary["versions"], summary["data"], summary["last_epoch"]
    rows = [
        ("run", summary["run"]),
        ("method", summary["method"]),
        ("domain", summary["groups"]["domain"]),
        ("backbone", _backbone(summary)),
        ("data", f"{data['name']}, {data['images']} images, {summary['shots']} shots"),
        ("classes", _trained_on(summary)),
        ("seeds", f"seed {summary['seed']}, split_seed {summary['split_seed']}"),
        ("training", _training(training)),
        *_calibration(summary),
        ("machine", f"{summary['device']}, {summary['precision']}, {summary['threads']} threads"),
        ("versions", ", ".join(f"{name} {version}" for name, version in versions.items())),
        *([("loss, last epoch", _losses(last))] if training["steps"] else []),
        *([("accuracy, last epoch", _learned(last))] if training["steps"] else []),
        *_remarks(summary),
    ]
    show_table(("what", "value"), rows, title="Run")
    _gap()
    if len(experts := summary["experts"]) > 1:
        columns = ("expert", "first for", "templates (* starts it)")
        show_table(columns, [row for expert in experts for row in _expert_rows(expert)], title="Experts")
        _gap()
    elif experts:
        texts = [(text,) for _, _, text in _expert_rows(experts[0])]
        show_table(("templates (* starts it)",), texts, title="Prompt")
        _gap()
    settings = [(name, _setting(summary["config"][name])) for name in summary["read"]]
    show_table(("setting", "value"), settings, title=f"Settings (preset {summary['preset']})")


def evaluation_record(
    run: Run,
    data_name: str,
    evaluations: Sequence[Evaluation],
    unnameable: Mapping[Half, str] | None = None,
    data_notes: Sequence[str] = (),
    backbone_notes: Sequence[str] = (),
) -> dict[str, Any]:
    """The output of `mocoop eval --json`: each result, and H if base and new were measured.

    `unnameable`: sets of classes that were requested and cannot be measured, with the reason. `data_notes`: what was
    noticed when the data set was opened. `backbone_notes`: what was assumed of the backbone's weights.
    """
    from mocoop.runs.evaluate import harmonic_mean

    accuracy = {evaluation.classes: evaluation.accuracy for evaluation in evaluations}
    said = dict.fromkeys(note for evaluation in evaluations for note in evaluation.notes)
    both = "base" in accuracy and "new" in accuracy
    seen = any(one.classes == "new" and one.seen_in_training for one in evaluations)
    return {
        "run": str(run.path),
        "data": data_name,
        "backbone": run.info["backbone"]["name"],
        "stand_in": run.stand_in,
        "preset": run.info["preset"],
        "shots": run.info["shots"],
        "seed": run.info["seed"],
        "trained_on": run.info["classes"],
        "group_ids": list(run.groups.ids),
        "results": [evaluation.to_dict() for evaluation in evaluations],
        "unnameable": dict(unnameable or {}),
        "harmonic_mean": harmonic_mean(accuracy["base"], accuracy["new"]) if both else None,
        "data_notes": list(data_notes),
        "notes": [
            *backbone_notes,
            *said,
            *([SEEN_NOTE] if seen else []),
            *([NAMES_NOTE.format(len(extra))] if (extra := _read_names(run)) else []),
            *([run.info["collapse"]] if run.info.get("collapse") else []),
            *([STAND_IN] if run.stand_in else []),
        ],
    }


def _result_rows(record: Mapping[str, Any], result: Mapping[str, Any]) -> Iterator[tuple[object, ...]]:
    """The run's accuracy on a set of classes, and that of the training-free classifiers."""
    from mocoop.runs.scores import short_text

    remark = _remark(result, record["trained_on"])
    images = _of_all(result)
    yield result["classes"], images, *_scores(result["accuracy"], result["scores"]), record["preset"], remark
    for name, accuracy in result["training_free"].items():
        if name not in result["baselines"]:
            yield result["classes"], images, *_scores(accuracy, None), "-", name
    for name, scores in result["baselines"].items():
        remark = "; ".join(filter(None, (name, short_text(scores))))
        yield result["classes"], images, *_scores(scores["accuracy"], scores), "-", remark
    for name, why in result["missing_baselines"].items():
        yield result["classes"], images, *_BLANK, "-", f"{name}: {why}"


_COLUMNS = ("accuracy %", "balanced %", "worst class %", "largest class %")
_BLANK = ("-",) * len(_COLUMNS)


def _scores(accuracy: float, scores: Mapping[str, Any] | None) -> tuple[str, ...]:
    """An accuracy, the mean of the classes' recalls, the worst of them, and the share of the largest class."""
    names = ("balanced_accuracy", "worst_recall", "largest_class_share")
    beside = [f"{scores[name]:.1f}" for name in names] if scores else _BLANK[1:]
    return f"{accuracy:.2f}", *beside


_SHOWN = 90.0  # coverage of the sets in the table, in percent; the JSON has others too
_CERTAINTY = (
    "classes", "ECE %", "before", f"in {_SHOWN:g} % sets", "classes a set",
    "wrong %: surest half", "80 %", "90 %", "all",
)  # fmt: skip


def _certainty_row(classes: str, one: Mapping[str, Any]) -> tuple[str, ...]:
    """Calibration error, prediction sets, and the errors among the surest images."""
    before = "-" if one["temperature"] is None else f"{one['ece_before']:.1f}"
    found = next((sets for sets in one["sets"] if sets["coverage"] == _SHOWN), None)
    sets = (f"{found['covered']:.1f}", f"{found['mean_size']:.2f}") if found else ("-", "-")
    return classes, f"{one['ece']:.1f}", before, *sets, *(f"{risk['wrong']:.1f}" for risk in one["risk"])


def _of_all(result: Mapping[str, Any]) -> str:
    """ "30 of 100": images measured, of those of these classes in the data set."""
    everything = result["images_in_data"]
    return str(result["images"]) if everything is None else f"{result['images']} of {everything}"


def _read_names(run: Run) -> Sequence[str]:
    """Names of classes not trained on that the text loss used."""
    return run.config.extra_class_names if run.config.lambda_text > 0 else ()


def print_evaluation(record: Mapping[str, Any], per_class: bool) -> None:
    """Accuracy per set of classes, H, and each class if requested."""
    rows = [row for result in record["results"] for row in _result_rows(record, result)]
    rows += [(part, "", *_BLANK, record["preset"], f"impossible: {why}") for part, why in record["unnameable"].items()]
    if record["harmonic_mean"] is not None:
        rows.append(("H", "", f"{record['harmonic_mean']:.2f}", *_BLANK[1:], record["preset"], ""))
    show_table(("classes", "images", *_COLUMNS, "preset", "remark"), rows)
    if per_class:
        lines = [
            _class_row(result["classes"], one, record["group_ids"])
            for result in record["results"]
            for one in result["per_class"]
        ]
        columns = ("classes", "class", "images", "accuracy %", "first expert")
        shown = len(columns) - (len(record["group_ids"]) == 1)  # a single expert is first for every image
        _gap()
        show_table(columns[:shown], [line[:shown] for line in lines])
    measured = [one for one in record["results"] if one["certainty"]]
    if measured:
        _gap()
        show_table(_CERTAINTY, [_certainty_row(one["classes"], one["certainty"]) for one in measured])
    for note in (*record["data_notes"], *record["notes"]):
        cli.say(f"note: {note}")


def print_predictions(predictions: Iterable[Mapping[str, Any]], *, experts: bool = True, sets: bool = False) -> None:
    """One line per image: class, probability, with `sets` its set, and, if there are several `experts`, who decided."""
    columns = ("path", "class", "probability", *(["set"] * sets), "experts" if experts else "remark")
    if on_terminal():
        show_table(columns, [_prediction_row(prediction, sets) for prediction in predictions])
        return
    for number, prediction in enumerate(predictions):  # each as soon as it is available
        if number == 0:
            click.echo("\t".join(columns))
        click.echo("\t".join(printable(cell) for cell in _prediction_row(prediction, sets)))


def print_summary(summary: Mapping[str, Any], out: Path | None, parts: int | None = None) -> None:
    """A bulk prediction: images by class, the largest first; what failed, and where everything is, in how many parts
    if it is a folder of them."""
    images, failed = summary["images"], summary["failed"]
    show_table(*summary_rows(summary))
    for one in summary["first_failed"]:
        cli.say(f"not read: {one['path']}: {one['error']}")
    if more := failed - len(summary["first_failed"]):
        cli.say(f"not read: {more:,} more, in rows with an error")
    if summary["trained_on"]:
        cli.say(f"note: {summary['trained_on']:,} of {max(1, images - failed):,} images were trained on")
    where = "" if parts is None else f" in {parts:,} part{'s' * (parts != 1)}"
    begins = "" if out is None else f"{out}: "
    cli.say(f"{begins}{images:,} images{where}, {failed:,} of them not read")


def summary_rows(summary: Mapping[str, Any]) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
    """Columns and rows of a summary: the classes that have images, the largest first."""
    read, unsure = max(1, summary["images"] - summary["failed"]), summary.get("unsure")
    counts = sorted(summary["classes"].items(), key=lambda one: -one[1])
    columns = ("class", "images", "share %", "mean probability", *(["not sure"] if unsure is not None else []))
    rows: list[tuple[object, ...]] = [
        (
            name,
            n,
            f"{100 * n / read:.1f}",
            f"{summary['mean_probability'][name]:.4f}",
            *([unsure[name]] if unsure is not None else []),
        )
        for name, n in counts
        if n
    ]
    return columns, rows


def print_demo(results: Mapping[str, Any]) -> None:
    """The demonstration's table, how often the router finds the style, and where the report is."""
    title = f"Seeds {', '.join(map(str, results['seeds']))}: mean ± deviation"
    show_table(("method", "base %", "new %", "H %"), [method_row(method) for method in results["methods"]], title=title)
    routing = [(one["what"], with_deviation(one["percent"], one["deviation"])) for one in results["routing"]]
    show_table(("first expert is the group that names the tile's style", "% of test tiles"), routing)
    named = [
        (
            Path(one["path"]).name,
            *(f"{guess['class']} {percent(guess['probability'], 0)}" for guess in one["top_k"][:2]),
        )
        for one in results["photographs"]
    ]
    show_table(("a real photograph", "photoclip names it", "or"), named)
    for note in results["notes"]:
        cli.say(f"note: {note}")
    cli.say(f"report: {results['report']}  ({results['seconds']:.0f} s)")


def method_row(method: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """A method's name and its three numbers as text."""
    base, new, h = (with_deviation(method[key], method[f"{key}_sd"]) for key in ("base", "new", "h"))
    return method["method"], base, new, h


def with_deviation(value: float, deviation: float | None) -> str:
    """ "71.3 ± 0.8", or only the value if nothing varies."""
    return f"{value:.1f}" if deviation is None else f"{value:.1f} ± {deviation:.1f}"


def _backbone(summary: Mapping[str, Any]) -> str:
    backbone = summary["backbone"]
    weights = f", {backbone['pretrained']}" if backbone["pretrained"] else ""
    return f"{backbone['name']}{weights}{' (a stand-in)' if backbone['stand_in'] else ''}"


def _trained_on(summary: Mapping[str, Any]) -> str:
    return f"{summary['classes']}: {len(summary['classnames'])} of {len(summary['all_classnames'])}"


def _remarks(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Remarks on the training run: unknown words, skipped images, notes."""
    data, unknown = summary["data"], summary["unknown_words"]
    words = [("unknown words", ", ".join(unknown))] if unknown else []
    skipped = [("skipped image", f"{one['path']}: {one['why']}") for one in data.get("skipped", ())]
    fallen = [("router", summary["collapse"])] if summary.get("collapse") else []
    return [*fallen, *words, *skipped, *(("note", note) for note in (*data.get("notes", ()), *summary["notes"]))]


def _training(training: Mapping[str, Any]) -> str:
    steps = f"{training['epochs']} epochs, {training['steps']} steps" if training["steps"] else "no steps"
    return f"{steps}, {training['seconds']:.1f} s"


def _calibration(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The temperature, if there is one; a note says why if not."""
    if not (found := summary.get("calibration")):
        return []
    temperature = found["temperature"]
    told = f"{temperature:.2f}" if temperature >= 0.1 else f"{temperature:.2g}"
    return [("calibration", f"temperature {told}, by {found['images']} images not trained on")]


def _learned(last: Mapping[str, Any]) -> str:
    """The accuracy, and of which images, for it is often taken for that of others."""
    share = percent(last.get("accuracy"))
    return share if share == "-" else f"{share} of the images learned from"


def _losses(last: Mapping[str, Any]) -> str:
    """The loss, and its terms under the method's names."""
    if "loss" not in last:
        return "-"
    # a divergence of zero can round to slightly below, and is no "-0.000"
    terms = ", ".join(f"{word} {round(value, 3) + 0.0:.3f}" for word, value in last["terms"].items())
    return f"{last['loss']:.3f} ({terms})" if terms else f"{last['loss']:.3f}"


def _remark(result: Mapping[str, Any], trained_on: str) -> str:
    from mocoop.runs.scores import short_text

    remarks = [told] if result["scores"] and (told := short_text(result["scores"])) else []
    remarks += [SEEN] if result["classes"] == "new" and result["seen_in_training"] else []
    if result["classes"] == "all" and trained_on == "base":
        remarks.append("half of these classes were not trained on")
    if result["skipped"]:
        remarks.append(f"{result['skipped']} unreadable image{'s' * (result['skipped'] > 1)} skipped")
    return "; ".join(remarks)


def _class_row(classes: str, one: Mapping[str, Any], group_ids: Sequence[str]) -> tuple[object, ...]:
    if not one["images"]:
        return classes, one["name"], 0, "-", "-"
    use = one["expert_use"]
    first = max(range(len(use)), key=use.__getitem__)
    return classes, one["name"], one["images"], f"{one['accuracy']:.1f}", f"{group_ids[first]} {percent(use[first], 0)}"


def _prediction_row(prediction: Mapping[str, Any], sets: bool = False) -> tuple[str, ...]:
    if "error" in prediction:
        return (prediction["path"], "", "", *([""] * sets), f"not read: {prediction['error']}")
    answer = f"not sure ({prediction['class']})" if prediction.get("unsure") else prediction["class"]
    held = [", ".join(prediction["set"])] if sets else []
    return (
        prediction["path"],
        answer,
        f"{prediction['probability']:.4f}",
        *held,
        experts_told(prediction.get("experts", ())),
    )


def answer_told(prediction: Mapping[str, Any]) -> str:
    """ "harbor 57%", or that it is not sure."""
    told = f"{prediction['class']} {percent(prediction['probability'], 0)}"
    return f"not sure ({told})" if prediction.get("unsure") else told


def experts_told(experts: Sequence[Mapping[str, Any]]) -> str:
    """The experts with the largest weights, and the total weight of the others."""
    told = [f"{expert['id']} {percent(expert['weight'], 0)}" for expert in experts[:_MOST_EXPERTS]]
    rest = experts[_MOST_EXPERTS:]
    return ", ".join([*told, *([f"{len(rest)} more {percent(sum(e['weight'] for e in rest), 0)}"] if rest else [])])


def _expert_rows(expert: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """One row per template, and one for an init that is not among them; on a terminal an expert is named once."""
    init, texts = expert["init"], expert["templates"]
    lines = [f"* {text}" if text == init else text for text in texts]
    if init is not None and init not in texts:
        lines.insert(0, f"* {init}")
    for number, line in enumerate(lines):
        named = ("", "") if on_terminal() and number else (expert["id"], percent(expert["use"], 0))
        yield *named, line


def _setting(value: object) -> str:
    """A setting's value as `--set` takes it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _gap() -> None:
    """Print an empty line between two tables in a pipe; on a terminal the frames separate them."""
    if not on_terminal():
        click.echo()
