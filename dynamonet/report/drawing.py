"""How every figure looks and how it becomes bytes: style, panels, legend, PNG and SVG."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from dynamonet.report.collect import Study

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "*", "d")
LINES = ("-", "--", ":", "-.")
FILLS = ("full", "none", "left", "right", "top", "bottom")
DPI = 150
PANELS_PER_ROW = 3
SUFFIXES = ("svg", "png")


@dataclass(frozen=True)
class Drawing:
    """A figure of the report. Without an image it was omitted, and the caption says why."""

    key: str
    title: str
    caption: str
    image: Figure | None = None


@contextmanager
def report_style() -> Iterator[None]:
    settings = {
        **sns.axes_style("whitegrid"),
        **sns.plotting_context("paper"),
        "font.family": "DejaVu Sans",  # comes with matplotlib: the same on every machine
        "text.parse_math": False,  # a class may be called $x
        "svg.hashsalt": "dynamonet",
        "grid.color": "0.9",
        "axes.edgecolor": "0.4",
    }
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # whatever the user's matplotlibrc says
        matplotlib.rcParams.update(settings)
        yield


def encode(image: Figure, suffix: str) -> bytes:
    """The file's bytes, equal for equal figures: no date and no library version inside."""
    metadata = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}[suffix]
    buffer = io.BytesIO()
    image.savefig(buffer, format=suffix, dpi=DPI, metadata=metadata, bbox_inches="tight", pad_inches=0.08)
    return buffer.getvalue()


def styles_of(study: Study, arms: pd.DataFrame) -> dict[tuple[str, str], dict[str, Any]]:
    """The style of each model and arm of a figure, the same in all its panels.

    Colour and marker tell the model in every figure, line and filling its arms, those from scratch first.
    arms: of each `model`, `arm` (its name in the figure) and `init`; an arm may come more than once.
    """
    palette = sns.color_palette("colorblind", 10)
    arms = arms.sort_values("init", key=lambda inits: inits.map(study.inits.index), kind="stable")
    styles = {}
    for model, names in arms.groupby("model", sort=False)["arm"]:
        position = study.models.index(model)
        for place, name in enumerate(names.unique()):
            styles[model, name] = {
                "color": palette[position % len(palette)],
                "marker": MARKERS[position % len(MARKERS)],
                "linestyle": LINES[place % len(LINES)],
                "fillstyle": FILLS[place % len(FILLS)],
            }
    return styles


def panels(
    heights_in: list[float], width_in: float, legend_labels: list[str] | None = None
) -> tuple[Figure, list[Axes]]:
    """Axes of these heights in rows of three, with room at the right for a legend of these labels.

    A row is as high as the highest of its panels.
    """
    count = len(heights_in)
    columns = min(count, PANELS_PER_ROW)
    rows_in = [max(heights_in[first : first + columns]) for first in range(0, count, columns)]
    legend_in = 0.5 + 0.075 * max(map(len, legend_labels)) if legend_labels else 0
    # A single row must be as tall as its legend.
    height_in = max(sum(rows_in), 0.3 + 0.19 * len(legend_labels or []))
    image = Figure(figsize=(columns * width_in + legend_in, height_in), layout="constrained")
    grid = image.subplots(len(rows_in), columns, squeeze=False, gridspec_kw={"height_ratios": rows_in})
    axes = list(grid.flat)
    for unused in axes[count:]:
        unused.remove()
    return image, axes[:count]


def add_legend(image: Figure) -> None:
    """One legend for all panels, outside them: it can cover nothing, however many models there are."""
    handles = {}
    for axes in image.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    if handles:
        image.legend(handles.values(), handles.keys(), loc="outside right upper", frameon=False)


def log_ticks(ax: Axes, values: pd.Series) -> None:
    """A logarithmic x axis with plain numbers, the more the narrower the range, which would else show none at all."""
    low, high = values.min() / 1.3, values.max() * 1.3
    decades = 10.0 ** np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    ratio = high / low
    multiples = range(1, 10) if ratio < 5 else [1, 2, 5] if ratio < 300 else [1]
    ticks = sorted(m * decade for decade in decades for m in multiples if low <= m * decade <= high)
    ax.set(xscale="log", xlim=(low, high))
    ax.xaxis.set_major_locator(FixedLocator(ticks))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
