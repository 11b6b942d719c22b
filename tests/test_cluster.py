"""What all work on a cluster shares: what an actor needs, and errors that travel; crews are tested where they work."""

from __future__ import annotations

import pickle

from mocoop.cluster import needs
from mocoop.errors import GroupFileError, ImageError, UsageError


def test_what_an_actor_needs():
    one = {"CPU": 8.0, "GPU": 2.0}
    assert needs(one, "auto", 1) == ({"num_cpus": 1, "num_gpus": 1}, 2)
    assert needs(one, "cpu", 3) == ({"num_cpus": 3}, 2)
    assert needs({"CPU": 8.0}, "auto", 1) == ({"num_cpus": 1}, 8)
    assert needs({"CPU": 1.0}, "cpu", 4) == ({"num_cpus": 4}, 1)


def test_errors_come_from_other_processes_as_they_were():
    for error in (UsageError("a", "b"), ImageError("a.png", "cut", "mend it"), GroupFileError("two", None, (1, 2))):
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is type(error)
        assert (str(again), vars(again), again.args) == (str(error), vars(error), error.args)
