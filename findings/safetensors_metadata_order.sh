#!/usr/bin/env bash
# Saving the same tensors with the same metadata twice gives two different files: safetensors writes the metadata in the
# order of a hash map whose seed is random. So a hash of the file says nothing about whether its content is the same, and
# a build that is otherwise reproducible is not. One metadata entry, or none, is written alike every time.
#
# Seen with safetensors 0.8.0, numpy 2.4.0, Python 3.11 on Linux x86-64:
#   safetensors 0.8.0: 20 saves of one tensor with 6 metadata entries: more than one file; with 1 entry: 1 file
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "safetensors==0.8.0" "numpy==2.4.0"
"$folder/venv/bin/python" - <<'PYTHON'
import hashlib
import sys

import numpy as np
import safetensors
from safetensors.numpy import load, save

tensors = {"weight": np.zeros(4, np.float32)}


def files(entries):
    metadata = {f"key{number}": "value" for number in range(entries)}
    saved = [save(tensors, metadata) for _ in range(20)]
    assert all((load(data)["weight"] == tensors["weight"]).all() for data in saved)
    return len({hashlib.sha256(data).hexdigest() for data in saved})


six, one = files(6), files(1)
said = "more than one file" if six > 1 else "1 file"
print(f"safetensors {safetensors.__version__}: 20 saves of one tensor with 6 metadata entries: {said}; with 1 entry: {one} file")
sys.exit(0 if six > 1 and one == 1 else 1)
PYTHON
