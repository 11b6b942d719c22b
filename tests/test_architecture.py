"""The arrows between the modules, read from their imports; and what no module may contain."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import mocoop

ROOT = Path(__file__).parent.parent
TRAINER = sorted(path for path in (ROOT / "mocoop").rglob("*.py") if "grouping" not in path.relative_to(ROOT).parts)
CURATOR = sorted((ROOT / "grouping").rglob("*.py"))
SOURCES = [*TRAINER, *CURATOR, ROOT / "cli.py", *sorted((ROOT / "benchmarks").glob("*.py"))]
HEAVY = {"torch", "open_clip", "openai", "sentence_transformers", "sklearn", "matplotlib", "transformers", "numpy"}


def imports(path, *, everywhere):
    """Modules a file imports, at its top level or in its functions too; type-checking imports do not count."""
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


def name_of(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", TRAINER, ids=name_of)
def test_the_trainer_never_imports_the_curator_or_what_only_it_needs(path):
    found = imports(path, everywhere=True)
    assert not {module for module in found if module.startswith("mocoop.grouping")}
    assert not roots(found) & {"openai", "sentence_transformers"}


@pytest.mark.parametrize("path", CURATOR, ids=name_of)
def test_the_curator_meets_the_trainer_in_group_files_only(path):
    shared = (
        "mocoop.grouping",
        "mocoop.groupfile.groups",
        "mocoop.errors",
        "mocoop.files",
        "mocoop.cli",
        "mocoop.groupfile.findings",
    )
    allowed = (
        *shared,
        "mocoop.groupfile.tokens",
        "mocoop.groupfile.templatetext",
        "mocoop.strictjson",
        "mocoop.groupfile.rules",
        "mocoop.data.classnames",
        "mocoop.__version__",
    )
    if path.name == "embed.py":  # templates in the trainer's own text space, and vectors as files of features come
        allowed = (*allowed, "mocoop.backbone.backbone", "mocoop.backbone.hard_features", "mocoop.data.npz")
    if name_of(path) == "grouping/measuring/plot.py":  # pictures in the one style
        allowed = (*allowed, "mocoop.reporting.plots")
    ours = {module for module in imports(path, everywhere=True) if module.startswith("mocoop.")}
    assert not {module for module in ours if not module.startswith(allowed)}
    assert not roots(imports(path, everywhere=False)) & HEAVY


@pytest.mark.parametrize(
    "path",
    [
        *sorted((ROOT / "mocoop" / "commands").glob("*.py")),
        *(ROOT / "mocoop" / f"{name}.py" for name in ("cli", "config", "errors", "printing", "groups", "__init__")),
    ],
    ids=name_of,
)
def test_what_answers_help_imports_nothing_heavy(path):
    assert not roots(imports(path, everywhere=False)) & HEAVY


@pytest.mark.parametrize("name", ["losses.py", "router.py"])
def test_the_equations_know_tensors_and_no_files(name):
    ours = {module for module in imports(ROOT / "mocoop" / name, everywhere=False) if module.startswith("mocoop")}
    assert not ours


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_nothing_can_run_code_from_a_file(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in {"eval", "exec", "torch.load", "pickle.load", "pickle.loads"}, f"line {node.lineno}"
            allowed = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
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
    for argv in (["generate", "--domain", "satellite imagery", "-o", out], ["validate", out], ["show", out]):
        code = block.format(heavy=sorted(HEAVY), argv=["mocoop-groups", *argv])
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_training_works_where_openai_and_sentence_transformers_are_absent():
    code = "import sys; sys.modules.update(openai=None, sentence_transformers=None); " + (
        "import mocoop.runs.train, mocoop.estimator, mocoop.runs.evaluate, mocoop.demo.story"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
