#!/usr/bin/env bash
# Dataset.class_encode_column gives a column the type ClassLabel. Labels that are integers from 0 already become other
# integers by it, without a word: they are turned into strings and numbered in the order of those, where "10" is before
# "2". So with more than ten classes label 2 no longer means the third name of the list that came with the data, and
# features and predictions stored before have other labels than those after. Casting to ClassLabel keeps the numbers.
#
# Seen with datasets 5.2.0, Python 3.11 on Linux x86-64:
#   labels 0 to 9 become [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
#   labels 0 to 11 become [0, 1, 4, 5, 6, 7, 8, 9, 10, 11, 2, 3]; cast to ClassLabel [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "datasets==5.2.0"
cd "$folder"
HF_HOME="$folder/hf" venv/bin/python - <<'PYTHON' 2>errors.txt || { cat errors.txt && exit 1; }
import sys

import datasets

datasets.disable_progress_bars()


def encoded(classes):
    return list(datasets.Dataset.from_dict({"label": range(classes)}).class_encode_column("label")["label"])


print(f"datasets {datasets.__version__}")
ten, twelve = encoded(10), encoded(12)
cast = datasets.Dataset.from_dict({"label": range(12)}).cast_column("label", datasets.ClassLabel(num_classes=12))
print(f"labels 0 to 9 become {ten}")
print(f"labels 0 to 11 become {twelve}; cast to ClassLabel {list(cast['label'])}")
sys.exit(0 if ten == list(range(10)) and twelve[2] == 4 and list(cast["label"]) == list(range(12)) else 1)
PYTHON
