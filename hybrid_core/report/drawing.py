"""Figures as inline SVG, and the templates of the pages: everything a page needs is inside it."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from importlib import resources

import jinja2
import matplotlib
from markupsafe import Markup
from matplotlib.figure import Figure

from hybrid_core.report import figures

_VARIABLES = {
    figures.INK: "var(--ink)",
    figures.MUTED: "var(--muted)",
    figures.RULE: "var(--rule)",
    figures.PAPER: "var(--paper)",
}


@dataclass(frozen=True)
class Picture:
    """A figure on the page: the drawing, what a reader who cannot see it is told, and the caption."""

    drawing: Markup
    alt: str
    caption: str


def page(template: str, content: dict[str, object]) -> str:
    """A page from one of the templates beside this file; values are escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_template), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template(template).render(content)


def _template(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def svg(figure: Figure, prefix: str) -> Markup:
    """A figure as inline SVG that follows the page's fonts and colours.

    Args:
        figure: a figure of `hybrid_core.report.figures`.
        prefix: makes the ids inside unique on the page; letters and digits only.
    """
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": prefix}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    share = 100 * figure.get_figwidth() / figures.WIDTH  # a narrow figure stays narrow, so that its letters do not grow
    opening = rf'<svg viewBox="\1" aria-hidden="true" style="max-width: max(620px, {share:.0f}%)">'
    text = re.sub(r"<svg [^>]*?viewBox=\"([^\"]*)\"[^>]*>", opening, text, count=1)
    text = re.sub(r'\bid="', f'id="{prefix}-', text)
    text = re.sub(r"url\(#", f"url(#{prefix}-", text)
    text = text.replace('xlink:href="#', f'href="#{prefix}-').replace("xlink:href", "href")
    text = text.replace("'DejaVu Sans'", "var(--sans)")
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, variable)
    return Markup(text)
