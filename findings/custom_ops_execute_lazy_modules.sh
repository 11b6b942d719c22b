#!/usr/bin/env bash
# A module that is imported by importlib.util.LazyLoader is executed when an attribute of it is read first. Defining a
# custom operator of PyTorch (`custom_op`) reads one of every module there is: to note where the operator was
# defined, torch asks inspect.getframeinfo, which looks for `__file__` in all of sys.modules. So whatever was to be loaded
# late is loaded then, though the operator has nothing to do with it. `import torchvision` does so too: its `ops` import
# torch.onnx, which defines such operators; hence its own `models` cannot be made lazy.
#
# Seen with torch 2.14.1 and torchvision 0.29.1 (CPU), Python 3.11 on Linux x86-64:
#   torch 2.14.1+cu130, importing operator_of_mine: another module executed before: False, after: True
#   torch 2.14.1+cu130, importing torchvision: another module executed before: False, after: True
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "torch==2.14.1" "torchvision==0.29.1" "numpy==2.4.0"
echo 'executed = True' >"$folder/late.py"
cat >"$folder/operator_of_mine.py" <<'PYTHON'
import torch
from torch import library


@library.custom_op("seen::twice", mutates_args=())
def twice(x: torch.Tensor) -> torch.Tensor:
    return 2 * x
PYTHON
cat >"$folder/seen.py" <<'PYTHON'
import importlib
import importlib.util
import sys

import torch


def lazily(name):
    spec = importlib.util.find_spec(name)
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def is_executed(module):
    return "executed" in object.__getattribute__(module, "__dict__")


late = lazily("late")
before = is_executed(late)
importlib.import_module(sys.argv[1])
print(f"torch {torch.__version__}, importing {sys.argv[1]}: another module executed before: {before}, after: {is_executed(late)}")
sys.exit(0 if (before, is_executed(late)) == (False, True) else 1)
PYTHON
cd "$folder"
venv/bin/python seen.py operator_of_mine
venv/bin/python seen.py torchvision
