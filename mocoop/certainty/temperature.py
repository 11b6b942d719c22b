"""One temperature for all probabilities (Guo et al. 2017, arXiv:1706.04599): p_c^(1/T), normalised.

The order of the classes stays, so no answer changes. N images, C classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

HOTTEST, COLDEST = 100.0, 1e-4  # the best is sought between; below, rounding in single precision would show
ROWS = 8192  # of probabilities in memory at a time, besides all of them
SMALLEST = float(np.finfo(np.float32).tiny)


def fit_temperature(log_probabilities: NDArray[Any], labels: NDArray[Any]) -> float:
    """The T > 0 that minimises the mean negative log-likelihood of labels (N,) under log-probabilities (N, C).

    The mean is convex in b = 1/T, and its derivative is the mean of E_b[z] - z_y. Where every image is right that
    falls for ever: T then stays so large that the mean probability of the answers is (N + 1) / (N + 2) at most, the
    share of right ones that N of N right leave to be expected (Laplace's rule of succession). N is 1 or more.
    """
    z = np.asarray(log_probabilities, np.float64)
    largest = z.max(axis=1, keepdims=True)
    true = z[np.arange(len(z)), labels] - largest[:, 0]
    most = (len(z) + 1) / (len(z) + 2)

    def slope(b: float) -> float:
        def expected(z: NDArray[Any], largest: NDArray[Any]) -> NDArray[Any]:
            return np.sum(_softmax(b * (z - largest)) * (z - largest), axis=1)  # type: ignore[no-any-return]

        return float((by_rows(expected, z, largest) - true).mean())

    def excess(b: float) -> float:
        def top(z: NDArray[Any], largest: NDArray[Any]) -> NDArray[Any]:
            return np.max(_softmax(b * (z - largest)), axis=1)  # type: ignore[no-any-return]

        return float(by_rows(top, z, largest).mean()) - most

    return 1 / min(_root(slope), _root(excess))


def by_rows(function: Callable[..., NDArray[Any]], *arrays: NDArray[Any]) -> NDArray[Any]:
    """A function of each row of some arrays, some rows at a time: what is made on the way is as large as they are."""
    starts = range(0, len(arrays[0]), ROWS)
    return np.concatenate([function(*(array[start : start + ROWS] for array in arrays)) for start in starts])


def tempered(probabilities: NDArray[Any], temperature: float) -> NDArray[np.float64]:
    """Probabilities (N, C) at a temperature; `mocoop.mixture.classifier.Tempered` does the same on tensors."""
    z = log_of(probabilities) / temperature
    return _softmax(z - z.max(axis=1, keepdims=True))


def log_of(probabilities: NDArray[Any]) -> NDArray[np.float64]:
    """Their logarithms, finite: a probability of 0 counts as the smallest of single precision."""
    logs = np.array(probabilities, np.float64)  # a copy, changed in place: it can be large
    np.maximum(logs, SMALLEST, out=logs)
    return np.log(logs, out=logs)


def _root(rising: Callable[[float], float]) -> float:
    """The b = 1/T at which a rising function is 0, or the end of the range on that side."""
    from scipy.optimize import brentq

    low, high = 1 / HOTTEST, 1 / COLDEST
    if rising(low) >= 0:
        return low
    if rising(high) <= 0:
        return high
    return float(brentq(rising, low, high, xtol=1e-9, rtol=1e-9))


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of rows whose largest value is 0."""
    raised = np.exp(logits)
    normalised: NDArray[np.float64] = raised / raised.sum(axis=1, keepdims=True)
    return normalised
