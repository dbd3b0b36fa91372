"""What Prometheus may ask of a service: requests by outcome, and their seconds."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from pipeline.serving.service.arrival import Arrivals

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 300)


class Figures:
    """Of one process; Ray exports its own, of replicas and queues, on each node's metrics port."""

    def __init__(self, arrivals: Arrivals) -> None:
        self._registry = CollectorRegistry()
        labels = ("model", "status")
        self._requests = Counter("semanir_serve_requests", "Requests by answer.", labels, registry=self._registry)
        self._seconds = Histogram(
            "semanir_serve_seconds", "From a request's first byte to its answer.", ("model",),
            buckets=_SECONDS, registry=self._registry,
        )  # fmt: skip
        self._inside = Gauge("semanir_serve_inside", "Waiting or at work.", ("model",), registry=self._registry)

        arriving = Gauge("semanir_serve_arriving", "Bodies that are being sent.", registry=self._registry)
        arriving.set_function(lambda: arrivals.arriving)
        held = Gauge("semanir_serve_held_bytes", "Of bodies arriving, waiting or at work.", registry=self._registry)
        held.set_function(lambda: arrivals.held)

    def watch(self, model: str, inside: Callable[[], int]) -> None:
        """Ask ``inside`` for the number of a model's requests that are waiting or at work, whenever it is wanted."""
        self._inside.labels(model).set_function(inside)

    def count(self, model: str, status: int, seconds: float) -> None:
        """One request is answered. model: a name that exists, so that strangers cannot make figures."""
        self._requests.labels(model, str(status)).inc()
        self._seconds.labels(model).observe(seconds)

    def text(self) -> bytes:
        """In Prometheus' format."""
        return generate_latest(self._registry)
