"""The figure of run times: what each stage of the study took, from its records. Holds measured times."""

from collections.abc import Iterator

import pandas as pd

from dynamonet.records import Record
from dynamonet.report.collect import Study
from dynamonet.report.drawing import Drawing, log_ticks, panels

STAGES = ("prepare", "measure", "pretrain", "train", "adopt", "evaluate", "retrieve")
UNITS = {"hours": 3600, "minutes": 60, "seconds": 1}


def stage_times_figure(study: Study) -> Drawing:
    """Two panels: wall-clock time of all records of a stage, and the spread of the seconds that one took."""
    key, title = "stage_times", "Run time of each stage"
    found: dict[str, list[float]] = {}
    for record in _records(study):
        if record.find("time.wall_s") is not None:
            seconds = max(record.number("time.wall_s"), 1e-3)  # a logarithm has no zero
            found.setdefault(record.get("stage"), []).append(seconds)
    stages = {stage: found[stage] for stage in dict.fromkeys([*STAGES, *found]) if stage in found}
    if not stages:
        return Drawing(key, title, "Omitted: no record of this study holds a time.")
    image, (total, single) = panels(2 * [1.0 + 0.34 * len(stages)], 3.6)
    labels = [f"{stage} ({len(seconds)})" for stage, seconds in stages.items()]
    longest = max(map(sum, stages.values()))
    unit, seconds_each = next((name, size) for name, size in UNITS.items() if longest >= size or size == 1)
    totals = [sum(seconds) / seconds_each for seconds in stages.values()]
    bars = total.barh(range(len(stages)), totals, height=0.6, color="#0173b2")
    total.bar_label(
        bars, [f"{value:.2g}" if value < 10 else f"{value:,.0f}" for value in totals], padding=3, fontsize=8
    )
    total.set_yticks(range(len(stages)), labels)
    total.set(xlabel=f"Wall-clock {unit} of all", xlim=(0, 1.2 * max(totals)), ylim=(len(stages) - 0.5, -0.5))
    single.boxplot(
        list(stages.values()),
        positions=range(len(stages)),
        orientation="horizontal",
        whis=(0, 100),
        widths=0.5,
        manage_ticks=False,
        medianprops={"color": "#d55e00", "linewidth": 1.6},
    )
    single.set_yticks(range(len(stages)), [])
    single.set(xlabel="Seconds of one", ylim=(len(stages) - 0.5, -0.5))
    everything = [seconds for of_stage in stages.values() for seconds in of_stage]
    log_ticks(single, pd.Series(everything))
    for ax in (total, single):
        ax.grid(visible=False, axis="y")
    caption = (
        "In brackets the number of records. Wall-clock time of every attempt, without the work that a kill has lost. "
        "Boxes: quartiles and median; whiskers: shortest and longest."
    )
    return Drawing(key, title, caption, image)


def _records(study: Study) -> Iterator[Record]:
    for records in (study.manifests, study.measures, study.fits, study.evaluations):
        yield from records.values()
