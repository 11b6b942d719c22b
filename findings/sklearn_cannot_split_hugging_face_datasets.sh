#!/usr/bin/env bash
# train_test_split takes "lists, numpy arrays, scipy-sparse matrices or pandas dataframes", and in practice anything with a
# length that a list of numbers can index, as a Hugging Face Dataset is: data.select([0, 2]) and data[[0, 2]] work. Yet a
# Dataset cannot be split or cross-validated: because it has a property `shape` (rows, columns), scikit-learn takes it for
# an array and asks for data[rows, ...], and what comes back is a TypeError about 'int' and 'ellipsis' from inside datasets.
# The same Dataset behind a class that only passes on its length and its items is split into lists of rows.
#
# Seen with scikit-learn 1.9.1, datasets 5.2.0, Python 3.11 on Linux x86-64:
#   Dataset of 10 rows: TypeError: '<' not supported between instances of 'int' and 'ellipsis'
#   passed on without shape: parts are list, of 7 and 3
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "scikit-learn==1.9.1" "datasets==5.2.0"
"$folder/venv/bin/python" - <<'PYTHON'
import sys
from importlib.metadata import version

from datasets import Dataset
from sklearn.model_selection import train_test_split

data = Dataset.from_dict({"image": list(range(10)), "label": [0, 1] * 5})


class PassedOn:
    def __len__(self):
        return len(data)

    def __getitem__(self, place):
        return data[place]


print(f"scikit-learn {version('scikit-learn')}, datasets {version('datasets')}")
try:
    train_test_split(data, test_size=3, random_state=0)
    said = "split"
except TypeError as error:
    said = f"TypeError: {error}"
print(f"Dataset of {len(data)} rows: {said}")
parts = train_test_split(PassedOn(), test_size=3, random_state=0)
print(f"passed on without shape: parts are {type(parts[0]).__name__}, of {len(parts[0])} and {len(parts[1])}")
sys.exit(0 if "ellipsis" in said and [len(part) for part in parts] == [7, 3] else 1)
PYTHON
