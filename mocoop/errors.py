"""The errors that users see.

Every error has the process's exit code and, if there is one, a hint: what to do next. The command line prints
`message` and `hint` on one line each and shows a traceback only with `--debug`. Programming errors (`TypeError`,
`KeyError`, ...) are not wrapped: they are bugs and exit with 1. Data and settings that cannot be used
are a `ValueError` too, as Python's and scikit-learn's users expect; the exit code goes by our class alone.

Exit codes: 0 ok, 1 findings or a bug, 2 usage, 3 an error in a user's file, 4 data, 5 remote model, 6 storage,
7 training stopped, 130 interrupted.
"""

from __future__ import annotations

import copyreg
from collections.abc import Sequence
from typing import Any


class MoCoOpError(Exception):
    """What went wrong and where (`message`), and what to do about it (`hint`)."""

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        """As it is, to and from other processes: exceptions are otherwise made anew from one argument."""
        return copyreg.__newobj__, (type(self), self.message), self.__dict__  # type: ignore[attr-defined]


class UsageError(MoCoOpError):
    """Options or arguments that are invalid together."""

    exit_code = 2


class BackboneError(MoCoOpError):
    """A backbone that cannot be loaded or cannot do what the method needs."""

    exit_code = 2


class ConfigError(MoCoOpError, ValueError):
    """A setting with an unknown name or an invalid value."""

    exit_code = 3


class GroupFileError(MoCoOpError):
    """A group file that cannot be used; `findings` holds every problem, not only the first."""

    exit_code = 3

    def __init__(self, message: str, hint: str | None = None, findings: Sequence[Any] = ()) -> None:
        super().__init__(message, hint)
        self.findings = tuple(findings)


class DataError(MoCoOpError, ValueError):
    """Images, labels, splits or features that cannot be used."""

    exit_code = 4


class ImageError(DataError):
    """One image that cannot be read; `path` names it."""

    def __init__(self, path: object, message: str, hint: str | None = None) -> None:
        super().__init__(f"{path}: {message}", hint)
        self.path = path


class RemoteError(MoCoOpError):
    """A remote language model gave no usable answer, or its API key is missing or refused."""

    exit_code = 5


class StorageError(MoCoOpError):
    """A file or folder that cannot be written or read back."""

    exit_code = 6


class CheckpointError(StorageError):
    """A run folder or checkpoint that is incomplete, damaged or does not match."""


class TrainingStopped(MoCoOpError):
    """Training stopped before a step that would have corrupted the parameters."""

    exit_code = 7
