"""Answers of an exported model on onnxruntime, NumPy and Pillow alone: neither torch nor open_clip is imported.

Images are read and prepared by the code that training uses (`mocoop.data`), so the pixels are the same to the bit;
what the network makes of them differs from PyTorch in the last digits.
N images, C classes, E experts, H x W pixels.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from mocoop.answers import describe
from mocoop.certainty.calibration import Calibration
from mocoop.certainty.doubt import Doubt
from mocoop.data.images import MAX_PIXELS, ImageSource, open_image
from mocoop.data.reading import Reading
from mocoop.data.remarks import remark_notes
from mocoop.data.survey import find_reading
from mocoop.data.views import centre_crop, normalised
from mocoop.errors import DataError, ImageError, StorageError
from mocoop.export.onnxfile import read_model
from mocoop.export.record import KEY, Record
from mocoop.packages import require

if TYPE_CHECKING:
    from PIL import Image

_log = logging.getLogger(__name__)

INPUT, OUTPUTS = "pixels", ("probabilities", "gates", "top_classes", "features")
_ROUNDING = 1e-3  # by which a probability may leave 0 to 1
_DECODERS = 4  # threads that decode; Pillow gives up the interpreter's lock while it does
_REPLACE = "give a file that `mocoop export` wrote"


class Answer(NamedTuple):
    """Probabilities (N, C) and gates (N, E) of a batch, float32."""

    probabilities: np.ndarray
    gates: np.ndarray


class Engine:
    """An exported model, ready to answer. It may be used from several threads."""

    def __init__(self, path: str | Path, *, threads: int | None = None) -> None:
        """Open a model; `threads` are those of one batch, all cores if left out.

        Raises StorageError for a file that is none of ours, damaged or refused, UsageError without onnxruntime.
        """
        self.path = Path(path)
        data, metadata = read_model(self.path)
        if KEY not in metadata:
            raise StorageError(f"{self.path} does not say what its classes are", _REPLACE)
        self.record = Record.from_json(metadata[KEY], str(self.path))
        self._session = _session(data, self.path, threads)
        self._check_sizes()

    @property
    def classnames(self) -> tuple[str, ...]:
        """The C classes, in the order of the probabilities."""
        return self.record.classnames

    @property
    def experts(self) -> tuple[str, ...]:
        """The ids of the E experts, in the order of the gates."""
        return tuple(self.record.templates)

    @property
    def calibration(self) -> Calibration | None:
        """From which prediction sets follow; its temperature is in the graph."""
        return self.record.calibration

    @property
    def notes(self) -> tuple[str, ...]:
        """What whoever uses its answers must know."""
        return self.record.notes

    def pixels(
        self,
        source: ImageSource,
        name: object = None,
        *,
        reading: Reading | None = None,
        max_pixels: int = MAX_PIXELS,
        remark: Callable[[str], None] = lambda _kind: None,
    ) -> np.ndarray:
        """One image as the model takes it, without the leading N. Raises ImageError."""
        reading = reading or self.record.reading
        return self.view(open_image(source, name=name, reading=reading, max_pixels=max_pixels, remark=remark))

    def view(self, image: Image.Image) -> np.ndarray:
        """The same of a decoded picture."""
        crop = centre_crop(image, self.record.preprocess)
        return crop if self.record.pixels == "uint8" else normalised(crop, self.record.preprocess)

    def predict(self, pixels: np.ndarray) -> Answer:
        """Probabilities and gates of a batch of `pixels` (N, ...). Raises StorageError if the model fails."""
        try:
            probabilities, gates = self._session.run(list(OUTPUTS[:2]), {INPUT: pixels})
        except Exception as error:  # onnxruntime's own types derive from Exception alone
            raise StorageError(f"{self.path} cannot be run: {_first_line(error)}", _REPLACE) from error
        count = len(pixels)
        if probabilities.shape != (count, len(self.classnames)) or gates.shape != (count, len(self.experts)):
            raise StorageError(f"{self.path} gives other sizes than it says: {probabilities.shape}", _REPLACE)
        for numbers in (probabilities, gates):  # NaN is neither
            if not bool(((numbers >= -_ROUNDING) & (numbers <= 1 + _ROUNDING)).all()):
                raise StorageError(f"{self.path} gives numbers that are no probabilities", _REPLACE)
        return Answer(probabilities, gates)

    def describe(self, name: str, answer: Answer, row: int, top: int, doubt: Doubt | None = None) -> dict[str, Any]:
        """One image's answer as `mocoop predict --json --experts full` prints it."""
        return describe(
            name,
            answer.probabilities[row],
            answer.gates[row],
            classnames=self.classnames,
            group_ids=self.experts,
            templates=self.record.templates if len(self.experts) > 1 else {},
            top=top,
            doubt=doubt,
        )

    def predict_images(
        self,
        paths: Sequence[Path],
        *,
        top: int = 5,
        doubt: Doubt | None = None,
        batch_size: int = 64,
        on_bad_image: Literal["fail", "skip"] = "fail",
        asked: Mapping[str, Any] | None = None,
        notice: Callable[[str], None] = _log.warning,
    ) -> Iterator[dict[str, Any]]:
        """One dictionary an image, in order, as `mocoop.runs.predict.predict_images` gives them.

        `doubt`, from `doubt_of`, adds `set` and `unsure`. `asked` are the bands and range asked for now
        (`find_reading`). Raises DataError for images that cannot be read, unless they are to be skipped.
        """
        reading, notes = find_reading(paths, known=self.record.reading, **(asked or {}))
        for note in notes:
            notice(note)
        remarks: dict[Path, tuple[str, ...]] = {}
        remaining = iter(paths)
        with ThreadPoolExecutor(_DECODERS) as pool:
            while chunk := list(islice(remaining, batch_size)):
                read = list(pool.map(lambda path: self._read(path, reading), chunk))
                bad = [(path, one.why) for path, one in zip(chunk, read, strict=True) if one.why is not None]
                if bad and on_bad_image == "fail":
                    raise DataError(
                        f"{len(bad)} of {len(chunk)} images cannot be read: {bad[0][0]}: {bad[0][1]}",
                        "replace them, or leave them out with --on-bad-image skip",
                    )
                remarks |= {path: one.remarks for path, one in zip(chunk, read, strict=True) if one.remarks}
                good = [one.pixels for one in read if one.pixels is not None]
                answer = self.predict(np.stack(good)) if good else None
                row = 0
                for path, one in zip(chunk, read, strict=True):
                    if one.pixels is None or answer is None:
                        yield {"path": str(path), "error": one.why}
                        continue
                    yield self.describe(str(path), answer, row, top, doubt)
                    row += 1
        for note in remark_notes(remarks, len(paths)):
            notice(note)

    def _read(self, path: Path, reading: Reading) -> _Read:
        seen: list[str] = []
        try:
            return _Read(self.pixels(path, reading=reading, remark=seen.append), None, tuple(seen))
        except ImageError as error:
            return _Read(None, str(error).removeprefix(f"{path}: "), ())

    def _check_sizes(self) -> None:
        """Whether the graph takes and gives what the record says. Raises StorageError."""
        takes, gives = self._session.get_inputs(), {one.name: one for one in self._session.get_outputs()}
        kind = "tensor(float)" if self.record.pixels == "float32" else "tensor(uint8)"
        fits = (
            len(takes) == 1
            and not isinstance(takes[0].shape[0], int)  # any number of images
            and (takes[0].name, takes[0].type) == (INPUT, kind)
            and takes[0].shape[1:] == list(self.record.input_shape)
            and {"probabilities", "gates"} <= gives.keys()
            and gives["probabilities"].shape[1:] == [len(self.classnames)]
            and gives["gates"].shape[1:] == [len(self.experts)]
            and {gives[name].type for name in OUTPUTS[:2]} == {"tensor(float)"}
        )
        if not fits:
            raise StorageError(f"{self.path}: its graph does not fit its description", _REPLACE)


class _Read(NamedTuple):
    """The pixels of an image, or why there are none; and the remarks on it."""

    pixels: np.ndarray | None
    why: str | None
    remarks: tuple[str, ...]


def _session(data: bytes, path: Path, threads: int | None) -> Any:
    require("onnxruntime", extra="export")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # its errors are raised as well, and said once
    options.intra_op_num_threads = threads or 0
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # waiting threads would take the cores
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # see Engine.predict
        raise StorageError(f"{path} cannot be loaded: {_first_line(error)}", _REPLACE) from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
