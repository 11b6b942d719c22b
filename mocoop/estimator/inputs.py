"""What X may be: image paths, pictures in any form that Python's libraries give them, or image features (N, D).

Pictures are Pillow images, uint8 arrays, and the items of a torch `Dataset` or a Hugging Face `datasets.Dataset`; those
two are read an item at a time, and may bring their labels. A DataFrame of numbers is features, one of a single column
is what its column holds. Nothing here knows a backbone. N images, D width of features.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import issparse
from torch import Tensor

from mocoop.data.images import open_image
from mocoop.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

_FORMS = "give paths, pictures, or an array of features (N, D)"
_UINT8 = "pictures as arrays are uint8 of (N, H, W, 3)"
_COLUMN = "choose its column of images, as in data['image']"


@dataclass(frozen=True)
class Images:
    """X as one of three: paths, pictures, features (N, D) float32.

    `labels` and `names`, by label, are what a data set brought along.
    """

    paths: Sequence[Path] | None = None
    pictures: Sequence[Image.Image] | None = None
    features: NDArray[np.float32] | None = None
    labels: Sequence[Any] | None = None
    names: Mapping[Any, str] | None = None

    def __len__(self) -> int:
        return next(len(one) for one in (self.paths, self.pictures, self.features) if one is not None)

    def only(self, places: NDArray[np.int64]) -> Images:
        """Some of the images, in the order of their places."""
        return Images(
            paths=None if self.paths is None else [self.paths[place] for place in places],
            pictures=None if self.pictures is None else Pictures(self.pictures, places),
            features=None if self.features is None else self.features[places],
        )


class Pictures(Sequence[Any]):
    """Items of a collection as Pillow images, each made when it is asked for; `places` choose some of them."""

    def __init__(self, items: Any, places: Sequence[int] | NDArray[np.int64] | None = None) -> None:
        self._items, self._places = items, range(len(items)) if places is None else places

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, number: Any) -> Any:
        place = int(self._places[number])
        return picture_of(self._items[place], place)

    def __iter__(self) -> Iterator[Any]:
        return (self[number] for number in range(len(self)))


def read_images(X: Any) -> Images:
    """Read X. Raises DataError for what is none of its forms."""
    if isinstance(X, (str, os.PathLike)):
        raise DataError("X is one path", "give a list of paths")
    if hasattr(X, "columns") and hasattr(X, "dtypes"):
        return _frame(X)
    if _is_lazy(X) and hasattr(X, "column_names"):
        return _hugging_face(X)
    if isinstance(X, Mapping):
        return _columns(X)
    if _is_torch_dataset(X):
        return _torch_dataset(X)
    if isinstance(X, Iterator):
        X = list(X)
    if hasattr(X, "iloc"):  # a Series, whose [] goes by its index
        X = list(X)
    if issparse(X) or (isinstance(X, (np.ndarray, Tensor)) and _kind(X) not in "UO"):
        return _array(X)
    if not hasattr(X, "__len__") and not hasattr(X, "__array__"):
        raise DataError(f"X is {type(X).__name__}", _FORMS)
    return _items(X)


def picture_of(item: Any, number: int) -> Image.Image:
    """One picture from a form that a library gives it in. Raises DataError, which names it by its number from 0."""
    from PIL import Image

    if isinstance(item, Image.Image):
        return item
    if isinstance(item, (str, os.PathLike)):
        return open_image(Path(item))
    if isinstance(item, Mapping):
        return _of_mapping(item, number)
    if isinstance(item, (tuple, list)) and item:  # (image, label)
        return picture_of(item[0], number)
    if isinstance(item, (np.ndarray, Tensor)) and (pixels := _pixels(item)) is not None:
        return Image.fromarray(pixels)
    if isinstance(item, (np.ndarray, Tensor)):
        form = f"{item.dtype} of {tuple(item.shape)}"
        raise DataError(f"picture {number} is {form}", "leave transforms out: give the picture, or uint8 of (H, W, 3)")
    raise DataError(f"picture {number} is {type(item).__name__}", _FORMS)


def _of_mapping(item: Mapping[str, Any], number: int) -> Image.Image:
    """The picture of a row: a column of Hugging Face's Image, undecoded, or the one value that is a picture."""
    if item.get("bytes") is not None:
        return open_image(item["bytes"], name=item.get("path") or f"picture {number}")
    if isinstance(item.get("path"), str):
        return open_image(Path(item["path"]))
    found = [value for value in item.values() if _is_picture(value)]
    if len(found) != 1:
        raise DataError(f"row {number} holds {len(found)} pictures", _COLUMN)
    return picture_of(found[0], number)


def _is_picture(item: Any) -> bool:
    from PIL import Image

    if isinstance(item, Mapping):
        return (
            item.get("bytes") is not None or isinstance(item.get("path"), str) or any(map(_is_picture, item.values()))
        )
    if isinstance(item, (tuple, list)):
        return len(item) == 2 and _is_picture(item[0])
    return isinstance(item, Image.Image) or (isinstance(item, (np.ndarray, Tensor)) and item.ndim == 3)


def _pixels(item: NDArray[Any] | Tensor) -> NDArray[np.uint8] | None:
    """Pixels (H, W, 3) of one uint8 array; torchvision's tensors have the channels first."""
    array = np.asarray(item.cpu() if isinstance(item, Tensor) else item)
    if isinstance(item, Tensor) and array.ndim == 3 and array.shape[0] == 3:
        array = array.transpose(1, 2, 0)  # (H, W, 3)
    return np.ascontiguousarray(array) if array.dtype == np.uint8 and array.ndim == 3 and array.shape[2] == 3 else None


def _array(X: NDArray[Any] | Tensor) -> Images:
    if X.ndim == 4:
        if _kind(X) != "u" or X.shape[-1] != 3 or len(X) == 0:
            hint = f"{_UINT8}; move the channels last" if X.shape[1] == 3 else _UINT8
            raise DataError(f"X is {X.dtype} of {tuple(X.shape)}", hint)
        return Images(pictures=Pictures(X))
    return Images(features=feature_array(X))


def _kind(X: NDArray[Any] | Tensor) -> str:
    """NumPy's letter for the kind of an array's values."""
    if isinstance(X, Tensor):
        return "u" if str(X.dtype) == "torch.uint8" else "f"
    return X.dtype.kind


def _frame(X: Any) -> Images:
    """A DataFrame: numbers are features; a single column of something else is its items."""
    if all(_is_number(next(iter(X[name]), 0)) for name in X.columns):
        return Images(features=feature_array(X))
    if len(X.columns) == 1:
        return _items(list(X[X.columns[0]]))
    raise DataError(f"X has the columns {', '.join(map(str, X.columns))}, not all of numbers", _COLUMN)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, complex, np.number, np.bool_))


def _items(X: Any) -> Images:
    """A collection whose first item says what it is."""
    items = list(X) if hasattr(X, "__iter__") and not _is_lazy(X) else X
    if hasattr(items, "__len__") and len(items) == 0:
        raise DataError("X is empty", _FORMS)
    first = items[0] if hasattr(items, "__getitem__") else None
    if isinstance(first, (str, os.PathLike)):
        if all(isinstance(item, (str, os.PathLike)) for item in items):
            return Images(paths=[Path(item) for item in items])
        raise DataError("X is neither paths, nor pictures, nor numbers", "give all images in one and the same form")
    if _is_picture(first) or isinstance(first, Mapping):
        if not _is_lazy(items) and not all(map(_is_picture, items)):
            raise DataError("X is neither paths, nor pictures, nor numbers", "give all images in one and the same form")
        labels = _labels_of(items) if isinstance(first, (tuple, list)) else None
        return Images(pictures=Pictures(items), labels=labels)
    return Images(features=feature_array(X))


def _is_lazy(X: Any) -> bool:
    """A data set of Hugging Face's, or a column of it, which decodes a picture when it is asked for."""
    return type(X).__module__.startswith("datasets.")


def _is_torch_dataset(X: Any) -> bool:
    from torch.utils.data import Dataset

    return isinstance(X, Dataset)


def _torch_dataset(X: Any) -> Images:
    """A torch Dataset of images, or of (image, label) as torchvision's are."""
    if not hasattr(X, "__len__") or len(X) == 0:
        raise DataError(f"X is {type(X).__name__} without images to count", "give a data set with a length")
    labels = _labels_of(X) if isinstance(X[0], (tuple, list)) and len(X[0]) == 2 else None
    names = dict(enumerate(X.classes)) if isinstance(getattr(X, "classes", None), (list, tuple)) else None
    return Images(pictures=Pictures(X), labels=labels, names=names)


def _labels_of(items: Any) -> list[Any]:
    """The labels of (image, label) items."""
    labels = [items[place][1] for place in range(len(items))]
    return [label.item() if isinstance(label, (Tensor, np.generic)) else label for label in labels]


def _hugging_face(X: Any) -> Images:
    """A `datasets.Dataset`: its one column of pictures, and its one column of class labels if there is one."""
    if not isinstance(X.column_names, (list, tuple)):
        raise DataError("X has several splits", "choose one, as in data['train']")
    kinds = {name: type(kind).__name__ for name, kind in X.features.items()}
    pictures = [name for name, kind in kinds.items() if kind == "Image"]
    if len(pictures) != 1:
        raise DataError(f"X has {len(pictures)} columns of images among {', '.join(kinds)}", _COLUMN)
    classes = [name for name, kind in kinds.items() if kind == "ClassLabel"]
    if len(classes) != 1:
        return Images(pictures=Pictures(X[pictures[0]]))
    names = dict(enumerate(X.features[classes[0]].names))
    return Images(pictures=Pictures(X[pictures[0]]), labels=list(X[classes[0]]), names=names)


def _columns(X: Mapping[str, Any]) -> Images:
    """Columns by name, a batch of a `datasets.Dataset` such as data[:100]: the one of pictures."""
    found = [column for column in X.values() if isinstance(column, (list, tuple)) and column and _is_picture(column[0])]
    if len(found) != 1:
        raise DataError(f"X has {len(found)} columns of images among {', '.join(map(str, X))}", _COLUMN)
    return _items(found[0])


def feature_array(given: Any) -> NDArray[np.float32]:
    """Features (N, D) float32, finite, as scikit-learn checks them. Raises DataError; TypeError for objects."""
    from sklearn.utils import check_array

    if isinstance(given, Tensor):
        given = given.detach().cpu().float().numpy()
    try:
        checked: NDArray[np.float32] = check_array(given, dtype=np.float32, order="C", input_name="X", copy=False)
    except ValueError as error:
        if "could not convert" in str(error) or "inhomogeneous" in str(error):
            raise DataError(
                "X is neither paths, nor pictures, nor numbers", "give all images in one and the same form"
            ) from error
        raise DataError(" ".join(str(error).split()), "features are finite numbers (N, D)") from error
    return checked
