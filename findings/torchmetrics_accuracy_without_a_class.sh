#!/usr/bin/env bash
# torchmetrics' MulticlassAccuracy is the mean of the classes' accuracies. Of a class that has no image in the test set
# there is none, and it is left out, until a single image is mistaken for it: then it counts as 0. So of 200 images in 4 of
# 5 known classes, one mistake costs 20 points if it names the fifth class and half a point if it names another.
# scikit-learn's balanced accuracy counts only classes that have images. So does torchmetrics with top_k=2, where the same
# image is wrong just the same: accuracies of top 1 and top 2 are then means over other classes.
#
# Seen with torchmetrics 1.9.0, torch 2.13.0, scikit-learn 1.9.1, Python 3.11 on Linux x86-64:
#   all right: (100.0, 100.0); one image said to be of another class: (99.5, 99.5); of one without images: (79.6, 99.5)
#   the same with top_k=2: 99.5
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "torchmetrics==1.9.0" \
  "torch==2.13.0" "scikit-learn==1.9.1" "numpy==2.4.0"
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import warnings

import torch
import torchmetrics
from sklearn.metrics import balanced_accuracy_score
from torch.nn.functional import one_hot
from torchmetrics.classification import MulticlassAccuracy

warnings.simplefilter("ignore")  # scikit-learn says that a class named has no image
labels = torch.arange(4).repeat_interleave(50)


def measured(first, k=1):
    """The accuracy, in percent, when the first image is said to be of class `first`, then 3, and all others are right."""
    probabilities = one_hot(labels, 5).float()
    probabilities[0] = 0.7 * one_hot(torch.tensor(first), 5) + 0.3 * one_hot(torch.tensor(3), 5)
    said = probabilities.argmax(1)
    metric = MulticlassAccuracy(num_classes=5, top_k=k)
    return round(100 * float(metric(probabilities, labels)), 1), round(100 * balanced_accuracy_score(labels, said), 1)


right, present, absent = measured(0), measured(1), measured(4)
print(f"torchmetrics {torchmetrics.__version__}, then scikit-learn's balanced accuracy, in percent")
print(f"all right: {right}; one image said to be of another class: {present}; of one without images: {absent}")
second = measured(4, k=2)[0]
print(f"the same with top_k=2: {second}")
sys.exit(0 if right == (100, 100) and present == (99.5, 99.5) and absent == (79.6, 99.5) and second == 99.5 else 1)
PYTHON
