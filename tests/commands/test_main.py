"""What `mocoop` offers: its commands, their options and their help."""

from __future__ import annotations

import re

import click
import pytest
from command_line import (
    call,
    python,
)

from mocoop.bench.protocols import ABLATIONS, INFERENCE
from mocoop.commands import mocoop

COMMANDS = {
    "auto": {
        "--data", "--class-names", "--names-by-position", "--columns", "--follow-links", "--no-cache", "--domain",
        "--groups", "--out", "--minutes", "--shots", "--seed", "--split-seed", "--backbone", "--pretrained",
        "--quick-gelu", "--device", "--precision", "--threads", "--bands", "--range", "--force", "--json",
    },
    "bench": {
        "--columns", "--bands", "--range", "--follow-links",
        "--data-root", "--data", "--datasets", "--class-names", "--names-by-position", "--groups", "--methods",
        "--ablation", "--seeds", "--shots", "--preset", "--budget", "--set", "--tuned", "--source",
        "--backbone", "--pretrained", "--quick-gelu",
        "--device", "--precision", "--jobs", "--engine", "--workers", "--address", "--threads", "--no-cache",
        "--dry-run", "--out",
    },
    "demo": {"--out", "--force", "--json"},
    "eval": {
        "--data", "--class-names", "--names-by-position", "--columns", "--follow-links", "--no-cache", "--classes",
        "--per-class", "--baselines", "--plots", "--out",
        "--backbone", "--pretrained", "--device", "--precision", "--threads", "--on-bad-image", "--max-skipped",
        "--json", "--bands", "--range",
    },
    "export": {
        "--out", "--format", "--precision", "--pixels", "--data", "--class-names", "--names-by-position", "--columns",
        "--follow-links", "--bands", "--range", "--images", "--tolerance", "--backbone", "--pretrained", "--threads",
        "--json",
    },
    "predict": {
        "--top", "--classes-file", "--backbone", "--pretrained", "--device", "--precision", "--threads",
        "--on-bad-image", "--bands", "--range", "--engine", "--json", "--coverage", "--unsure-below",
        "--experts", "--out", "--sort-into", "--force", "--link",
    },
    "predict-many": {
        "--out", "--format", "--experts", "--top", "--classes-file", "--part-size", "--columns", "--follow-links",
        "--on-bad-image", "--engine", "--workers", "--address", "--backbone", "--pretrained", "--device", "--precision",
        "--threads", "--bands", "--range", "--coverage", "--unsure-below",
    },
    "report": {
        "--out", "--also", "--reference", "--title", "--run", "--images", "--most-images", "--backbone", "--pretrained",
        "--bands", "--range", "--data", "--class-names", "--names-by-position", "--columns", "--follow-links",
        "--no-cache", "--device", "--precision", "--threads", "--on-bad-image", "--max-skipped",
    },
    "scenes": {"--out", "--train", "--val", "--test", "--seed"},
    "serve": {
        "--host", "--port", "--allow-host", "--engine", "--batch-size", "--queue", "--max-images", "--max-bytes",
        "--max-pixels", "--time-limit", "--body-time-limit", "--backbone", "--pretrained", "--device", "--precision",
        "--threads", "--coverage", "--unsure-below",
    },
    "show": {
        "--json", "--web", "--out", "--data", "--class-names", "--names-by-position", "--columns", "--follow-links",
        "--no-cache", "--coverage", "--unsure-below", "--most-images", "--host", "--port", "--no-browser", "--backbone",
        "--pretrained", "--device", "--precision", "--threads", "--on-bad-image", "--bands", "--range", "--max-skipped",
    },
    "tune": {
        "--columns", "--bands", "--range", "--follow-links",
        "--data", "--class-names", "--names-by-position", "--groups", "--method", "--try", "--set",
        "--trainings", "--seeds", "--shots", "--val-shots", "--classes", "--preset", "--budget",
        "--backbone", "--pretrained", "--device", "--threads",
        "--no-cache", "--out",
    },
    "train": {
        "--groups", "--method", "--data", "--class-names", "--names-by-position", "--columns", "--follow-links",
        "--no-cache", "--out", "--shots", "--seed",
        "--split-seed", "--classes", "--preset", "--backbone", "--pretrained", "--quick-gelu", "--epochs", "--lr",
        "--batch-size", "--views", "--top-k", "--lambda-router", "--lambda-text", "--set", "--device", "--precision",
        "--threads", "--on-bad-image", "--bands", "--range", "--strict-vocabulary", "--force", "--json", "--log-to",
    },
}  # fmt: skip


class TestHelp:
    def test_the_commands_and_their_options_are_these(self):
        found = {
            name: {opt for p in command.params if isinstance(p, click.Option) for opt in p.opts if opt.startswith("--")}
            for name, command in mocoop.commands.items()
        }
        assert found == COMMANDS

    @pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)])
    def test_help_has_an_example_and_explains_each_option(self, command):
        code, out, _ = call(*command, "--help")
        assert code == 0
        assert re.search(r"^ *mocoop( \w+)? .*$", out.split("\n\n", 1)[1], re.MULTILINE)
        options = mocoop.commands[command[0]].params if command else mocoop.params
        assert all(option.help for option in options if isinstance(option, click.Option))

    def test_examples_in_the_help_are_commands_that_exist(self):
        for name, command in [("mocoop", mocoop), *mocoop.commands.items()]:
            for line in re.findall(r"^ *mocoop (.+)$", command.help, re.MULTILINE):
                used = line.split()[0]
                assert used in COMMANDS
                assert name in ("mocoop", used)
                assert set(re.findall(r"--[\w-]+", line)) <= COMMANDS[used]

    def test_the_list_of_commands_is_not_cut(self):
        assert "..." not in call("--help").out.split("Commands:")[1]

    def test_help_imports_nothing_heavy(self):
        script = """
            import sys
            from mocoop import cli
            from mocoop.commands import mocoop
            try:
                cli.run(mocoop, "mocoop", ["{}--help"])
            except SystemExit:
                print({{"torch", "open_clip", "numpy", "PIL", "matplotlib", "rich", "sklearn"}} & set(sys.modules))
        """
        assert python(script.format("")).endswith("\nset()\n")

    def test_importing_mocoop_imports_no_torch(self):
        assert python("import sys, mocoop; print({'torch', 'numpy', 'click'} & set(sys.modules))") == "set()\n"

    def test_the_version_is_the_packages(self):
        assert call("--version").out == "mocoop 0.1.0\n"

    def test_the_help_of_bench_names_every_ablation(self):
        told = call("bench", "--help").out.split("Ablations:")[1].split("mocoop bench")[0]
        names = re.sub(r"\([^)]*\)", "", " ".join(told.split())).rstrip(". ").split(",")
        assert [name.strip() for name in names] == [*ABLATIONS, INFERENCE]
