"""The family of errors: what is a ValueError too, its exit codes, and errors that come back from a worker process."""

from __future__ import annotations

import pickle

import pytest

from mocoop import errors
from mocoop.errors import ConfigError, DataError, GroupFileError, ImageError, MoCoOpError

CODES = {
    "UsageError": 2, "BackboneError": 2, "ConfigError": 3, "GroupFileError": 3, "DataError": 4, "ImageError": 4,
    "RemoteError": 5, "StorageError": 6, "CheckpointError": 6, "TrainingStopped": 7,
}  # fmt: skip
FAMILY = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, MoCoOpError)]


def test_each_error_has_its_exit_code():
    assert {kind.__name__: kind.exit_code for kind in FAMILY if kind is not MoCoOpError} == CODES


def test_values_that_a_person_gave_are_value_errors_and_nothing_else_is():
    assert {kind for kind in FAMILY if issubclass(kind, ValueError)} == {ConfigError, DataError, ImageError}


@pytest.mark.parametrize(
    "error",
    [
        DataError("what", "mend it"),
        ImageError("a/b.png", "damaged", "replace the file"),
        GroupFileError("wrong", None, ["one finding"]),
    ],
)
def test_an_error_comes_back_whole_from_another_process(error):
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)
    assert again.args == error.args
