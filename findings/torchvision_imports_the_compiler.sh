#!/usr/bin/env bash
# `import torchvision` imports torch's compiler (torch._dynamo) and with it sympy, although torch itself takes care to
# load that only when something is compiled, and although nothing is: torchvision.ops.roi_align takes one function from
# torch._dynamo.utils at its top level. It nearly doubles the number of modules loaded (1,200 before, 2,278 after), and a short program that only
# wants a transform pays for it.
#
# Seen with torch 2.14.1, torchvision 0.29.1, Python 3.11 on Linux x86-64:
#   torch 2.14.1+cu130: compiler loaded: False; with torchvision 0.29.1+cu130: True, sympy: True
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "torch==2.14.1" "torchvision==0.29.1" "numpy==2.4.0"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import torch

before = "torch._dynamo" in sys.modules
import torchvision

after, sympy = "torch._dynamo" in sys.modules, "sympy" in sys.modules
print(
    f"torch {torch.__version__}: compiler loaded: {before}; "
    f"with torchvision {torchvision.__version__}: {after}, sympy: {sympy}"
)
sys.exit(0 if (before, after, sympy) == (False, True, True) else 1)
PYTHON
