"""Numbers of a running job as Ray metrics: Ray's dashboard and Prometheus show them beside those of the cluster."""

from __future__ import annotations

from collections.abc import Mapping

from ray.util.metrics import Gauge


class Gauges:
    """One gauge for each name; `encode/tokens_per_second` is `ray_encode_tokens_per_second` there."""

    def __init__(self) -> None:
        self._gauges: dict[str, Gauge] = {}

    def show(self, numbers: Mapping[str, float]) -> None:
        """Show these values from now on."""
        for name, value in numbers.items():
            if name not in self._gauges:
                self._gauges[name] = Gauge(name.replace("/", "_"), description=name)
            self._gauges[name].set(value)
