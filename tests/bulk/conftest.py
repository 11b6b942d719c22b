"""What the tests of bulk prediction share: a trained run, pictures, and jobs on them."""

from __future__ import annotations

import pytest
from datafiles import put_classes, put_image
from worlds import plan_for, write_world

from mocoop.bulk.jobs import prepare
from mocoop.bulk.local import predict_here
from mocoop.bulk.options import Options
from mocoop.bulk.progress import Progress
from mocoop.config import preset
from mocoop.runs.train import train


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    counts = {f"{part}/{name}": 4 for part in ("train", "test") for name in ("airport", "dog", "sea_snake")}
    photos = put_classes(folder / "photos", counts)
    config = preset("recommended", epochs=1, batch_size=4, lr=0.05)
    return train(plan_for(write_world(folder), folder / "run", config, data=photos, shots=4))


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """A folder of nine pictures, one of them in a folder of its own."""
    folder = tmp_path_factory.mktemp("many")
    for seed in range(9):
        put_image(folder / ("more" if seed == 8 else "") / f"{seed}.png", seed)
    return folder


@pytest.fixture
def bulk(run):
    """`bulk(source, out)` runs a whole job on this machine and returns it, and what was noted."""

    def work(source, out, *, form="jsonl", part_size=4, follow_links=False, **changes):
        options = Options(run.path, device="cpu", **changes)
        job = prepare(options, str(source), out, form=form, part_size=part_size, follow_links=follow_links)
        notes = list(job.notes)
        predict_here(job, Progress(job, say=notes.append), notes.append)
        return job, notes

    return work
