"""The arrows between the modules, read from their imports; and what no module may contain."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import mocoop

ROOT = Path(__file__).parent.parent
TRAINER = sorted((ROOT / "mocoop").rglob("*.py"))
CURATOR = sorted((ROOT / "grouping").rglob("*.py"))
SOURCES = [*TRAINER, *CURATOR, ROOT / "cli.py", *sorted((ROOT / "benchmarks").glob("*.py"))]
HEAVY = {"torch", "open_clip", "openai", "sentence_transformers", "sklearn", "matplotlib", "transformers", "numpy"}

# Rooms from the ground up, and which rooms below each may import. CONTRIBUTING.md shows the same as a picture.
ROOMS = {
    "errors": "",
    "strictjson": "",
    "openclip": "",
    "packages": "errors",
    "web": "errors",
    "files": "errors strictjson",
    "cli": "errors",
    "config": "errors",
    "certainty": "errors",
    "answers": "errors certainty",
    "cluster": "errors",
    "groupfile": "errors files strictjson",
    "data": "errors files strictjson",
    "miniclip": "errors files openclip groupfile",
    "photoclip": "errors files openclip groupfile miniclip",
    "backbone": "errors files openclip config groupfile data miniclip photoclip",
    "mixture": "errors config groupfile backbone",
    "training": "errors files cli config groupfile data backbone mixture",
    "methods": "errors config groupfile data backbone mixture training",
    "runs": "errors files config certainty answers groupfile data backbone mixture training methods",
    "estimator": "errors config certainty groupfile data backbone mixture training methods runs",
    "export": "errors packages strictjson files certainty answers data miniclip backbone mixture runs",
    "serving": "errors web certainty answers data backbone runs export",
    "looking": "errors files cli web certainty data backbone mixture runs",
    "bench": "errors files cli cluster config certainty groupfile data miniclip backbone mixture training methods runs",
    "auto": "errors files groupfile config data backbone mixture training methods runs bench",
    "bulk": "errors files cli cluster certainty answers data backbone runs export",
    "reporting": "errors files cli config certainty data backbone training methods runs bench",
    "demo": "errors files cli config groupfile data miniclip backbone training runs reporting",
    "commands": (
        "errors packages web files cli config certainty answers groupfile data miniclip backbone training methods runs "
        "export serving looking bench auto bulk reporting demo"
    ),
    "__main__": "commands",
    "grouping": "errors packages web strictjson files cli groupfile data backbone reporting",
}


def imports(path, *, everywhere):
    """Modules a file imports, at its top level or in its functions and for type checkers too."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if everywhere else _top_level(path)
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def _top_level(path):
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            yield node


def roots(modules):
    return {module.split(".")[0] for module in modules}


def rooms_of(modules):
    return {module.split(".")[1] for module in modules if module.startswith("mocoop.")}


def name_of(path):
    return str(path.relative_to(ROOT))


def room_of(path):
    """The room of a file: its folder in mocoop/, or the module itself where it stands in none."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[0] if parts[0] == "grouping" else parts[1]


def test_the_table_of_rooms_has_no_arrow_that_runs_back():
    below = set()
    for room, may in ROOMS.items():
        assert set(may.split()) <= below, room
        below.add(room)


@pytest.mark.parametrize("path", [path for path in (*TRAINER, *CURATOR) if room_of(path) != "__init__"], ids=name_of)
def test_a_room_imports_the_rooms_below_it_only(path):
    room = room_of(path)
    assert rooms_of(imports(path, everywhere=True)) - {room, "__version__"} <= set(ROOMS[room].split())


def test_every_arrow_of_the_table_is_there():
    for room, may in ROOMS.items():
        files = [path for path in (*TRAINER, *CURATOR) if room_of(path) == room]
        assert set(may.split()) <= set().union(*(rooms_of(imports(path, everywhere=True)) for path in files)), room


def test_no_modules_import_each_other():
    names = {name: path for path in (*TRAINER, *CURATOR) if (name := module_of(path)) != "mocoop"}
    arrows = {name: imports(path, everywhere=True) & names.keys() - {name} for name, path in names.items()}
    TopologicalSorter(arrows).prepare()  # a cycle raises


def module_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = ("mocoop", *parts) if parts[0] == "grouping" else parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_the_picture_in_contributing_shows_the_rooms():
    picture = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for room, may in ROOMS.items():
        if room != "__main__":
            assert re.search(rf"^{room} +{may or '-'}$", picture, re.MULTILINE), room


@pytest.mark.parametrize("path", TRAINER, ids=name_of)
def test_the_trainer_needs_nothing_that_only_the_curator_needs(path):
    assert not roots(imports(path, everywhere=True)) & {"openai", "sentence_transformers"}


@pytest.mark.parametrize("path", CURATOR, ids=name_of)
def test_the_curator_meets_the_trainer_in_group_files_only(path):
    shared = ("grouping", "groupfile", "errors", "files", "cli", "strictjson", "data.classnames", "__version__")
    allowed = tuple(f"mocoop.{name}" for name in shared)
    if path.name == "embed.py":  # templates in the trainer's own text space, and vectors as files of features come
        allowed = (*allowed, "mocoop.backbone", "mocoop.data.npz")
    if name_of(path) == "grouping/measuring/plot.py":  # pictures in the one style
        allowed = (*allowed, "mocoop.reporting.plots")
    if name_of(path) in ("grouping/web/routes.py", "grouping/commands/review_page.py"):  # the page of --web
        allowed = (*allowed, "mocoop.web", "mocoop.packages")
    if name_of(path) == "grouping/web/attraction.py":  # the images that fit a group, as the trainer sees them
        allowed = (*allowed, "mocoop.backbone", "mocoop.data")
    ours = {module for module in imports(path, everywhere=True) if module.startswith("mocoop.")}
    assert not {module for module in ours if not module.startswith(allowed)}
    assert not roots(imports(path, everywhere=False)) & HEAVY


@pytest.mark.parametrize(
    "path",
    [
        *sorted((ROOT / "mocoop" / "commands").glob("*.py")),
        *(ROOT / "mocoop" / f"{name}.py" for name in ("cli", "config", "errors", "__init__")),
        *sorted((ROOT / "mocoop" / "groupfile").glob("*.py")),
        ROOT / "mocoop" / "reporting" / "printing.py",
    ],
    ids=name_of,
)
def test_what_answers_help_imports_nothing_heavy(path):
    assert not roots(imports(path, everywhere=False)) & HEAVY


@pytest.mark.parametrize("name", ["losses.py", "router.py"])
def test_the_equations_know_tensors_and_no_files(name):
    ours = {
        module
        for module in imports(ROOT / "mocoop" / "mixture" / name, everywhere=False)
        if module.startswith("mocoop")
    }
    assert not ours


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_nothing_can_run_code_from_a_file(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in {"eval", "exec", "pickle.load", "pickle.loads"}, f"line {node.lineno}"
            allowed = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            if called == "torch.load":
                assert allowed.get("weights_only") == "True", f"line {node.lineno}"
            assert allowed.get("allow_pickle", "False") == "False", f"line {node.lineno}"
            assert allowed.get("weights_only", "True") == "True", f"line {node.lineno}"
            assert allowed.get("trust_remote_code", "False") == "False", f"line {node.lineno}"
    assert not roots(imports(path, everywhere=True)) & {"pickle", "dill", "joblib", "cloudpickle"}


def test_every_module_imports():
    for module in pkgutil.walk_packages(mocoop.__path__, "mocoop."):
        importlib.import_module(module.name)


def test_the_public_names_are_lazy_and_there():
    loaded = "import mocoop, sys; assert not {'torch', 'numpy', 'open_clip'} & set(sys.modules), sys.modules.keys()"
    subprocess.run([sys.executable, "-c", loaded], check=True)
    for name in mocoop.__all__:
        assert getattr(mocoop, name).__name__ == name
    assert set(mocoop.__all__) <= set(dir(mocoop))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = mocoop.nothing


def test_the_curator_works_where_torch_is_absent(tmp_path):
    """A group file is made, checked and shown although every heavy import fails."""
    block = "import sys; sys.modules.update(dict.fromkeys({heavy!r})); sys.argv = {argv!r}; " + (
        "from mocoop.grouping.commands import main; main()"
    )
    out = str(tmp_path / "groups.json")
    generate = ["generate", "--domain", "satellite imagery", "-o", out]
    unknown = ["generate", "--domain", "mosquitoes", "-o", out, "--force"]  # no sentence model can be asked
    for argv in (generate, unknown, ["validate", out], ["show", out]):
        code = block.format(heavy=sorted(HEAVY), argv=["mocoop-groups", *argv])
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_training_works_where_openai_and_sentence_transformers_are_absent():
    code = "import sys; sys.modules.update(openai=None, sentence_transformers=None); " + (
        "import mocoop.runs.train, mocoop.estimator, mocoop.runs.evaluate, mocoop.demo.story"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
