"""Numbers of a running job as Ray metrics: each node's metrics page has them, for a Prometheus that reads it (docs/cluster.md).

Ray's dashboard has no panel for them; a Grafana of one's own shows them.
"""

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
