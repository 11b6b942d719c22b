#!/usr/bin/env bash
# An area under the ROC curve depends on the order of the scores alone, so whether they are cosines, cosines times 100 as
# CLIP's logits are, or probabilities must not matter. In torchmetrics it does. BinaryAUROC takes logits: if a batch has a
# value outside 0 to 1, it takes the sigmoid of that batch. In float32 that is exactly 1 from 17 on, and logits of CLIP
# are about 20 to 30: what separates perfectly gets 0.5, chance. And as each batch is looked at by itself, logits near 0
# get another area for every batch size: some batches are turned into probabilities and others are not.
#
# Seen with torchmetrics 1.9.0, torch 2.13.0, scikit-learn 1.9.1, Python 3.11 on Linux x86-64:
#   torchmetrics 1.9.0: cosines 1.0; the same times 100 0.5
#   logits near 0, by images in a batch: {200: 0.845, 4: 0.831, 2: 0.817, 1: 0.699}; scikit-learn 0.845
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "torchmetrics==1.9.0" \
  "torch==2.13.0" "scikit-learn==1.9.1" "numpy==2.4.0"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import torch
import torchmetrics
from sklearn.metrics import roc_auc_score
from torchmetrics.classification import BinaryAUROC


def area(scores, labels, size):
    metric = BinaryAUROC()
    for part, truth in zip(scores.split(size), labels.split(size)):
        metric.update(part, truth)
    return round(float(metric.compute()), 3)


labels = torch.tensor([0, 1]).repeat_interleave(50)
cosines = torch.linspace(0.20, 0.32, 100)  # those of the second class are all larger
plain, hundredfold = area(cosines, labels, 100), area(100 * cosines, labels, 100)
print(f"torchmetrics {torchmetrics.__version__}: cosines {plain}; the same times 100 {hundredfold}")

random = torch.Generator().manual_seed(0)
logits = torch.randn(200, generator=random)
truth = (torch.rand(200, generator=random) < torch.sigmoid(2 * logits)).int()
right = round(float(roc_auc_score(truth, logits)), 3)
areas = {size: area(logits, truth, size) for size in (200, 4, 2, 1)}
print(f"logits near 0, by images in a batch: {areas}; scikit-learn {right}")
sys.exit(0 if (plain, hundredfold) == (1.0, 0.5) and areas[200] == right and abs(areas[1] - right) > 0.02 else 1)
PYTHON
