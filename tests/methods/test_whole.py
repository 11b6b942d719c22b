"""Every method from a data set to predictions: killed and resumed, evaluated, shown, saved, and its refusals."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import textwrap
import warnings
from contextlib import redirect_stderr, redirect_stdout

import numpy as np
import pytest
import torch
import worlds
from command_line import rewrite
from datafiles import put_classes, put_image
from worlds import CLASSNAMES, STEPPING, config_of, plan_for, write_world

from mocoop import MoCoOpClassifier, cli
from mocoop.commands import mocoop
from mocoop.config import METHODS, preset
from mocoop.data.sources import open_dataset
from mocoop.errors import DataError, MoCoOpError, UsageError
from mocoop.methods import method_named
from mocoop.runs.baselines import ENSEMBLE, GATED, ONE_TEMPLATE
from mocoop.runs.evaluate import evaluate
from mocoop.runs.predict import predict_features
from mocoop.runs.run import Run
from mocoop.runs.train import train

pytestmark = pytest.mark.filterwarnings("ignore:the router")

WITHOUT_GROUPS = [name for name in METHODS if not method_named(name).reads_groups]
NAMES = [name.replace(" ", "_") for name in CLASSNAMES]


def call(*arguments):
    """A command of `mocoop` as it is typed: exit code, stdout, stderr."""
    code = 0
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        try:
            mocoop.main([str(argument) for argument in arguments], standalone_mode=False)
        except MoCoOpError as error:
            code = error.exit_code
            cli.say(f"error: {error}")
    return code, out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Features of six classes, and pictures of the same classes."""
    folder = tmp_path_factory.mktemp("world")
    counts = {f"{part}/{name}": 4 for part in ("train", "val", "test") for name in NAMES}
    return {**write_world(folder), "pictures": put_classes(folder / "pictures", counts)}


@pytest.fixture(scope="module")
def runs(world, tmp_path_factory):
    """A run of each method on the base classes, by method and kind of data, trained when first asked for."""
    known = {}

    def run(method, data="data", **changes):
        key = (method, data, *sorted(changes.items()))
        if key not in known:
            groups = world["groups"] if method_named(method).reads_groups else None
            out = tmp_path_factory.mktemp("runs") / "run"
            config = config_of(method, **changes)
            plan = plan_for(world, out, config, data=world[data], groups=groups, classes="base", shots=4)
            known[key] = train(plan)
        return known[key]

    return run


KILLED = """
    import sys, torch
    from pathlib import Path
    sys.path.insert(0, {tests!r})
    from worlds import config_of, plan_for
    from mocoop.runs.train import train
    torch.set_num_threads(1)
    world = {{name: Path(path) for name, path in {world!r}.items()}}
    train(plan_for(world, Path({out!r}), config_of({method!r}, **{changes!r}), classes="base", shots=4))
"""


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        *(pytest.param(name, {}, marks=[pytest.mark.slow] * (name != "mocoop")) for name in STEPPING),
        pytest.param("coop", {"ctx_init": None, "class_ctx": True}, marks=pytest.mark.slow),
        pytest.param("mocoop", {"routing": "random"}, marks=pytest.mark.slow),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(map(str, value)),
)
def test_a_killed_training_resumes_to_the_same_bits(world, tmp_path, method, changes):
    """Twelve images in batches of eight: a step an epoch, killed after the second's checkpoint."""
    paths = {name: str(path) for name, path in world.items()}
    script = textwrap.dedent(KILLED).format(
        tests=os.path.dirname(worlds.__file__), world=paths, out=str(tmp_path / "run"), method=method, changes=changes
    )
    child = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "MOCOOP_SIGNAL_AT": "SIGKILL:after-pointer:2"}, check=False
    )
    assert child.returncode == -signal.SIGKILL
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        plan = plan_for(world, tmp_path / "run", config_of(method, **changes), classes="base", shots=4)
        resumed = train(plan)
        whole = train(plan_for(world, tmp_path / "whole", config_of(method, **changes), classes="base", shots=4))
    finally:
        torch.set_num_threads(threads)
    assert resumed.tensors.keys() == whole.tensors.keys() != set()
    assert all(torch.equal(resumed.tensors[name], whole.tensors[name]) for name in whole.tensors)
    assert resumed.history() == whole.history()
    assert len(whole.history()) == 3


@pytest.mark.parametrize("data", ["data", "pictures"])
@pytest.mark.parametrize("method", [name for name in METHODS if name != "linear-probe"])
def test_base_and_new_are_measured_on_features_and_on_pictures(world, runs, method, data):
    run = runs(method, data)
    dataset = open_dataset(world[data])
    for part in ("base", "new", "all"):
        result = evaluate(run, dataset, classes=part)
        assert result.images == {"data": 10, "pictures": 4}[data] * (6 if part == "all" else 3)
        assert 0 <= result.accuracy <= 100
    if data == "data" and method in STEPPING:
        assert evaluate(run, dataset, classes="base").accuracy > 33.4  # chance


@pytest.mark.parametrize(
    ("method", "changes"), [("linear-probe", {}), ("coop", {"class_ctx": True})], ids=["probe", "class-ctx"]
)
def test_new_classes_that_cannot_be_named_are_a_remark_beside_base_and_a_refusal_alone(world, runs, method, changes):
    run = runs(method, **changes)
    device = ("--device", "cpu", "--no-cache")
    code, out, err = call("eval", run.path, "--data", world["data"], "--classes", "base", "--classes", "new", *device)
    assert code == 0, err
    lines = [line.split("\t") for line in out.split("\n\n")[0].splitlines()]
    assert [line[0] for line in lines] == ["classes", "base", "new"]  # and no H
    assert float(lines[1][2]) > 33.4
    assert lines[2][1:3] == ["", "-"]
    assert lines[2][-1].startswith("impossible: ")
    assert repr(CLASSNAMES[3]) in lines[2][-1]
    code, out, err = call("eval", run.path, "--data", world["data"], "--classes", "new", *device)
    assert (code, out) == (4, "")
    assert err.splitlines()[-1].startswith("error: ")
    assert repr(CLASSNAMES[3]) in err
    code, out, _ = call(
        "eval", run.path, "--data", world["data"], "--classes", "base", "--classes", "new", "--json", *device
    )
    assert list(json.loads(out)["unnameable"]) == ["new"]


@pytest.mark.parametrize(
    ("method", "changes"), [("linear-probe", {}), ("coop", {"class_ctx": True})], ids=["probe", "class-ctx"]
)
def test_what_was_trained_on_all_classes_measures_the_base_ones(world, tmp_path, method, changes):
    run = train(plan_for(world, tmp_path / "run", config_of(method, **changes), groups=None))
    result = evaluate(run, open_dataset(world["data"]), classes="base")
    assert [one.name for one in result.per_class] == list(CLASSNAMES[:3])
    assert result.accuracy > 50


@pytest.mark.parametrize("method", METHODS)
def test_pictures_are_predicted_and_experts_named_where_there_are_some(world, runs, method):
    run = runs(method, "pictures")
    pictures = sorted((world["pictures"] / "test").rglob("*.png"))[:2]
    code, out, err = call("predict", run.path, *pictures, "--device", "cpu")
    assert code == 0, err
    header, *lines = [line.split("\t") for line in out.splitlines()]
    several = len(run.groups.ids) > 1
    assert several is (method in ("mocoop", "blend", "gated-zero-shot"))
    assert header == ["path", "class", "probability", "experts" if several else "remark"]
    assert all(line[1] in run.classnames and bool(line[3]) is several for line in lines)
    code, out, _ = call("predict", run.path, *pictures, "--device", "cpu", "--json")
    experts = {"mocoop": 3, "blend": 3, "gated-zero-shot": 2}.get(method, 0)  # K = all, K = 2
    assert all(len(json.loads(line)["experts"]) == experts for line in out.splitlines())


def test_a_probe_is_not_asked_for_other_classes(world, runs, tmp_path):
    picture = put_image(tmp_path / "one.png")
    run = runs("linear-probe", "pictures")
    (tmp_path / "names.txt").write_text(f"{run.classnames[0]}\nquiet zebra\n")
    code, out, err = call("predict", run.path, picture, "--classes-file", tmp_path / "names.txt", "--device", "cpu")
    assert (code, out) == (4, "")
    assert "'quiet zebra'" in err


def shown(run):
    code, out, err = call("show", run.path)
    assert code == 0, err
    return out.rstrip("\n").split("\n\n")


def row(table, name):
    return dict(line.split("\t", 1) for line in table.splitlines())[name]


@pytest.mark.parametrize(
    ("method", "changes", "start", "terms"),
    [
        ("coop", {}, "a photo of a {}.", []),
        ("coop", {"ctx_init": None}, "random: 16 tokens before {}", []),
        ("coop", {"ctx_init": None, "ctx_tokens": 4, "ctx_position": "middle"}, "random: 4 tokens around {}", []),
        ("coop", {"class_ctx": True}, "a photo of a {}. (for each class)", []),
        ("cocoop", {}, "a photo of a {}.", []),
        ("kgcoop", {}, "a photo of a {}.", ["class", "distance from the template"]),
        ("prograd", {"template": "{} texture."}, "a texture of {}. (the last of 16 tokens, those before them zero)", [
            "distance from zero-shot, which only turns the gradient"
        ]),
        ("lasp", {}, "a photo of a {}.", ["class", "text"]),
        ("lasp", {"drop_full_stop": True}, "a photo of a {}", ["class", "text"]),
    ],
)  # fmt: skip
def test_a_method_of_one_prompt_is_shown_by_its_own_start_and_terms(runs, method, changes, start, terms):
    about, prompt, settings = shown(runs(method, **changes))
    assert row(about, "method") == method
    loss = row(about, "loss, last epoch")
    assert "router" not in loss
    assert all(f"{term} " in loss for term in terms)
    assert ("(" in loss) is bool(terms)
    header, *lines = prompt.splitlines()
    assert header == "templates (* starts it)"
    assert [line for line in lines if line.startswith("* ")] == [f"* {start}"]
    names = {line.split("\t")[0] for line in settings.splitlines()[1:]}
    assert names <= method_named(method).settings
    assert names.isdisjoint({"routing", "top_k", "router_init", "lambda_router"})


def test_what_has_no_steps_is_shown_without_losses(runs):
    about, settings = shown(runs("linear-probe"))
    assert row(about, "training").startswith("no steps")
    assert "loss" not in about
    assert settings.splitlines() == ["setting\tvalue", "probe_c\tnull"]
    about, prompt, _ = shown(runs("zero-shot"))
    assert prompt.splitlines() == ["templates (* starts it)", "a photo of a {}."]
    assert "loss" not in about
    _, experts, _ = shown(runs("gated-zero-shot"))
    assert len(experts.splitlines()) == 5  # a header, and four templates in three groups
    assert "*" not in experts.split("\n", 1)[1]


def test_a_mixture_that_drops_the_full_stop_shows_what_it_started_from(runs):
    _, experts, _ = shown(runs("mocoop", drop_full_stop=True))
    assert "* a photo of a {}\n" in experts
    assert "a photo of a {}.\n" in experts


@pytest.mark.parametrize("method", METHODS)
def test_baselines_come_from_templates_that_people_wrote(world, runs, method):
    """A random prompt has none of its own: the data set's template stands for it."""
    changes = {"ctx_init": None} if method == "coop" else {}
    run = runs(method, **changes)
    found = evaluate(run, open_dataset(world["data"]), baselines=True).training_free
    expected = {
        "lasp": {ONE_TEMPLATE, ENSEMBLE},
        "zero-shot-ensemble": {ONE_TEMPLATE, ENSEMBLE},
        "mocoop": {ONE_TEMPLATE, ENSEMBLE, GATED},
        "blend": {ONE_TEMPLATE, ENSEMBLE, GATED},
        "gated-zero-shot": {ONE_TEMPLATE, ENSEMBLE, GATED},
    }.get(method, {ONE_TEMPLATE})
    assert set(found) == expected
    zero_shot = evaluate(runs("zero-shot"), open_dataset(world["data"])).accuracy
    assert found[ONE_TEMPLATE] == zero_shot  # the first group's init is the plain template too
    if method in ("gated-zero-shot", "zero-shot-ensemble"):
        own = GATED if method == "gated-zero-shot" else ENSEMBLE
        assert found[own] == evaluate(run, open_dataset(world["data"])).accuracy


@pytest.mark.parametrize(
    ("typed", "unused"),
    [
        (("--method", "coop", "--lambda-text", "3"), "lambda_text"),
        (("--method", "coop", "--set", "ctx_tokens=4"), "ctx_tokens"),  # ctx starts from words
        (("--method", "coop", "--set", "ctx_init=null", "--set", "ctx_tokens=4"), None),
        (("--method", "linear-probe", "--epochs", "3", "--views", "2"), "epochs, views"),
        (("--method", "zero-shot", "--lr", "1", "--top-k", "3"), "lr, top_k"),
        (("--method", "lasp", "--lambda-router", "2"), "lambda_router"),
        (("--method", "lasp", "--lambda-text", "0", "--set", "tau_text=1"), "tau_text"),
        (("--method", "prograd", "--set", "ctx_tokens=20"), None),
        (("--set", "routing=uniform", "--top-k", "1", "--lambda-router", "2"), "top_k, lambda_router"),
        (("--set", "routing=random", "--set", "router_init=random"), "router_init"),
        (("--set", "view_scale=[0.5,1]"), "view_scale"),
        (("--top-k", "1", "--lambda-router", "2"), None),
    ],
)
def test_settings_that_change_nothing_are_named(world, tmp_path, typed, unused):
    needs = "--method" not in typed or "lasp" in typed
    groups = ("--groups", world["groups"]) if needs else ()
    short = () if {"--epochs", "zero-shot", "linear-probe"} & set(typed) else ("--epochs", "1")
    backbone = ("--backbone", f"local-dir:{world['backbone']}", "--device", "cpu", "--no-cache")
    code, _, err = call("train", "--data", world["data"], "-o", tmp_path / "run", *groups, *typed, *short, *backbone)
    assert code == 0, err
    said = [line for line in err.splitlines() if "does not use" in line]
    name = typed[1] if typed[0] == "--method" else "mocoop"
    assert said == ([f"note: the method {name} does not use {unused}"] if unused else [])


def test_a_group_file_that_is_not_read_is_told_and_need_not_be_there(world, tmp_path):
    backbone = ("--backbone", f"local-dir:{world['backbone']}", "--device", "cpu", "--epochs", "1")
    arguments = ("train", "--method", "coop", "--data", world["data"], *backbone)
    code, _, err = call(*arguments, "-o", tmp_path / "a", "--groups", world["groups"])
    assert (code, "note: the method coop does not use a group file" in err) == (0, True)
    code, _, err = call(*arguments, "-o", tmp_path / "b")
    assert (code, "does not use" in err) == (0, False)
    first, second = Run.open(tmp_path / "a"), Run.open(tmp_path / "b")
    assert torch.equal(first.tensors["ctx"], second.tensors["ctx"])
    assert first.info["groups"]["file"] is None
    code, _, err = call("train", "--method", "lasp", "--data", world["data"], "-o", tmp_path / "c", *backbone)
    assert code == 2
    assert "the method lasp needs a group file" in err


def test_only_the_words_that_are_read_are_told_to_be_unknown(world, tmp_path):
    """Of the stand-in: placeholders of random tokens are no words, a template taught from is; a probe reads nothing."""
    pictures = ("--data", world["pictures"], "--shots", "1", "--device", "cpu", "--backbone", "miniclip")
    code, _, err = call(
        "train", "--method", "coop", *pictures, "--set", "ctx_init=null", "--epochs", "1", "-o", tmp_path / "a"
    )
    assert code == 0, err
    assert Run.open(tmp_path / "a").info["unknown_words"] != []
    assert "x" not in Run.open(tmp_path / "a").info["unknown_words"]
    template = "a quixotic photo of a {}."
    call(
        "train", "--method", "kgcoop", *pictures, "--set", f"template={template}", "--epochs", "1", "-o", tmp_path / "b"
    )
    assert "quixotic" in Run.open(tmp_path / "b").info["unknown_words"]
    call("train", "--method", "linear-probe", *pictures, "-o", tmp_path / "c", "--strict-vocabulary")
    assert Run.open(tmp_path / "c").info["unknown_words"] == []


def test_the_official_preset_says_how_to_do_without_pixels(world, tmp_path):
    with pytest.raises(DataError) as refused:
        train(plan_for(world, tmp_path / "run", preset("official")))
    assert refused.value.hint == "set --views 0 --set tune_layer_norm=false"


def classifier(world, method, **changes):
    groups = world["groups"] if method_named(method).reads_groups else None
    settings = {"epochs": 10, "batch_size": 8, "lr": 0.05} if method in STEPPING else {}
    if method in ("lasp", "mocoop", "blend"):
        settings["lambda_text"] = 0.1  # so short a training is held near random templates otherwise
    values = {"backbone": f"local-dir:{world['backbone']}", "device": "cpu", "cache": False, "settings": settings}
    return MoCoOpClassifier(**{"groups": groups, "method": method, **values, **changes})


def test_features_made_elsewhere_are_refused_by_a_run_that_tuned_its_image_tower(world, runs):
    run = runs("mocoop", "pictures", views="online", tune_layer_norm=True)
    with pytest.raises(DataError, match="tuned its image tower, which the features of features were not made with"):
        evaluate(run, open_dataset(world["data"]))
    with pytest.raises(DataError, match="tuned its image tower"):
        predict_features(run, world["data"])


@pytest.fixture(scope="module")
def features(world):
    with np.load(world["data"]) as arrays:
        return arrays["features"], np.array(CLASSNAMES)[arrays["labels"]]


@pytest.mark.parametrize("method", METHODS)
def test_the_estimator_fits_predicts_saves_and_loads(world, features, tmp_path, method):
    x, y = features
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message="the router")
        warnings.filterwarnings("ignore", message="linear probe: C = 1|Tip-Adapter|blend")
        fitted = classifier(world, method).fit(x[::2], y[::2])
    proba = fitted.predict_proba(x[1::2])
    assert proba.shape == (60, 6)
    if method_named(method).learns:
        assert fitted.score(x[1::2], y[1::2]) > 0.25  # chance is .17
    loaded = MoCoOpClassifier.load(fitted.save(tmp_path / "run"), device="cpu")
    np.testing.assert_allclose(loaded.predict_proba(x[1::2]), proba, rtol=1e-5, atol=1e-7)
    assert (loaded.method, loaded.groups is None) == (method, method in WITHOUT_GROUPS)
    assert loaded.expert_weights(x[:2]).shape == (2, 3 if method in ("mocoop", "blend", "gated-zero-shot") else 1)
    if method == "linear-probe":
        with pytest.raises(DataError, match="'quiet zebra'"):
            loaded.set_classes(["quiet zebra", "piano"])
        np.testing.assert_array_equal(loaded.predict_proba(x[:2]), fitted.predict_proba(x[:2]))  # as it was before
    else:
        assert loaded.set_classes(["quiet zebra", "piano"]).predict_proba(x[:3]).shape == (3, 2)


@pytest.mark.parametrize("method", ["coop", "linear-probe", "zero-shot", "mocoop"])
def test_a_loaded_estimator_learns_the_same_again(world, features, tmp_path, method):
    x, y = features
    fitted = classifier(world, method).fit(x[::2], y[::2])
    loaded = MoCoOpClassifier.load(fitted.save(tmp_path / "run"), device="cpu", cache=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message="the router|linear probe")
        again = loaded.fit(x[::2], y[::2])
    np.testing.assert_allclose(again.predict_proba(x[:5]), fitted.predict_proba(x[:5]), rtol=1e-5, atol=1e-7)


def test_a_probe_that_was_loaded_predicts_features_without_its_backbone(world, features, tmp_path):
    x, y = features
    path = classifier(world, "linear-probe").fit(x, y).save(tmp_path / "run")
    rewrite(path / "run.json", lambda r: {**r, "backbone": {**r["backbone"], "name": "local-dir:nowhere"}})
    assert MoCoOpClassifier.load(path, device="cpu").predict(x[:3]).shape == (3,)


def test_the_estimator_tells_what_it_was_given_in_vain_and_what_it_lacks(world, features):
    x, y = features
    given = {"epochs": 1, "lambda_text": 3.0, "ctx_tokens": 4}
    with pytest.warns(UserWarning, match="the method coop does not use lambda_text, ctx_tokens, groups"):
        classifier(world, "coop", settings=given, groups=world["groups"]).fit(x, y)
    for method in ("mocoop", "lasp", "gated-zero-shot", "zero-shot-ensemble"):
        with pytest.raises(UsageError, match=f"the method {method} needs a group file"):
            classifier(world, method, groups=None).fit(x, y)


@pytest.mark.parametrize("method", METHODS)
def test_the_estimator_takes_pictures(world, method, tmp_path):
    paths = sorted((world["pictures"] / "train").rglob("*.png"))
    fitted = classifier(world, method).fit(paths, [path.parent.name for path in paths])
    assert fitted.predict_proba(paths[:2]).shape == (2, 6)


@pytest.mark.parametrize("method", METHODS)
def test_a_layout_of_coops_trains_each_method_with_its_own_template(world, tmp_path, method):
    """EuroSAT's folder, where the template is a centered satellite photo; every image of train is a shot."""
    home = tmp_path / "eurosat"
    names = ("Forest", "River", "Sea_Lake", "Crop_Land")
    put_classes(home / "2750", dict.fromkeys(names, 8))
    parts = {"train": range(4), "val": range(4, 6), "test": range(6, 8)}
    split = {
        part: [[f"{name}/{n:02d}.png", label, name] for label, name in enumerate(names) for n in places]
        for part, places in parts.items()
    }
    (home / "split_zhou_EuroSAT.json").write_text(json.dumps(split))
    groups = world["groups"] if method_named(method).reads_groups else None
    run = train(plan_for(world, tmp_path / "run", config_of(method), data=home, groups=groups, classes="base", shots=4))
    assert run.config.template == "a centered satellite photo of {}."
    assert run.classnames == ("Forest", "River")
    part = "base" if method == "linear-probe" else "new"
    assert evaluate(run, open_dataset(home), classes=part).images == 4
