"""Pictures of a comparison as matplotlib figures, for the report pages and for experiment tracking. They show models only."""

from hybrid_core.report.figures.canvas import INK, MUTED, PAPER, RULE, WIDTH, name_of, plain
from hybrid_core.report.figures.curves import alpha_curve_figure, loss_figure
from hybrid_core.report.figures.languages import heat_map_figure, histogram_figure
from hybrid_core.report.figures.levels import levels_figure, shift_figure
from hybrid_core.report.figures.spread import perturbation_figure, rank_distance_figure

__all__ = [
    "INK", "MUTED", "PAPER", "RULE", "WIDTH", "alpha_curve_figure", "heat_map_figure", "histogram_figure", "levels_figure", "loss_figure",
    "name_of", "perturbation_figure", "plain", "rank_distance_figure", "shift_figure",
]  # fmt: skip
