"""A run on pictures with hostile names, and what is seen of it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from hostile import hostile_world

from mocoop.certainty.doubt import doubt_of
from mocoop.data.sources import open_dataset
from mocoop.looking.content import page_content
from mocoop.looking.gates import reference_gates
from mocoop.runs.evaluate import evaluate


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    return hostile_world(tmp_path_factory.mktemp("looking"))


@pytest.fixture(scope="session")
def looked(world):
    """The content of the page, and what it was made of."""
    run, dataset = world["run"], open_dataset(world["data"])
    backbone = run.load_backbone()
    result = evaluate(run, dataset, backbone=backbone)
    labels = torch.tensor([example.label for example in result.examples])
    reference = reference_gates(run, backbone, result.features, labels)
    half = float(result.probabilities.max(dim=1).values.median())
    doubt = doubt_of(run.calibration, "run", coverage=0.8, unsure_below=half)
    content = page_content(
        run, result, reference, doubt, data="photos", coverage=0.8, backbone=backbone, notes=["twice", "twice"]
    )
    return SimpleNamespace(
        run=run, dataset=dataset, backbone=backbone, result=result, reference=reference, doubt=doubt, content=content
    )
