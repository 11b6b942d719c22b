"""What a server counts, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = CONTENT_TYPE_LATEST
# Others are counted together: a stranger may invent any number of them.
_PATHS = ("/", "/predict", "/model", "/healthz", "/metrics")


class Metrics:
    """The counters of one server."""

    def __init__(self, waiting: Callable[[], int]) -> None:
        """`waiting` says how many images are being answered."""
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "mocoop_requests", "Requests by path and status.", ["path", "status"], registry=self._registry
        )
        self._images = Counter("mocoop_images", "Images by outcome.", ["outcome"], registry=self._registry)
        self._seconds = Histogram(
            "mocoop_request_seconds", "Seconds from a request's first line to its answer.", registry=self._registry
        )
        sizes = (1, 2, 4, 8, 16, 32, 64, 128, 256)
        self._batches = Histogram("mocoop_batch_images", "Images a batch.", buckets=sizes, registry=self._registry)
        gauge = Gauge("mocoop_waiting_images", "Images being answered.", registry=self._registry)
        gauge.set_function(waiting)

    def request(self, path: str, status: int, seconds: float) -> None:
        """One request was answered."""
        self._requests.labels(path if path in _PATHS else "other", str(status)).inc()
        if path == "/predict":
            self._seconds.observe(seconds)

    def images(self, outcome: str, count: int) -> None:
        """So many images were "answered", "unreadable" or "refused"."""
        self._images.labels(outcome).inc(count)

    def batch(self, size: int) -> None:
        """One batch was answered."""
        self._batches.observe(size)

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        text: bytes = generate_latest(self._registry)
        return text
