"""Records of a study -> tables, figures and verdicts, and one self-contained report.html."""

from pathlib import Path

from dynamonet import files
from dynamonet.report import drawing, table_files
from dynamonet.report.checklist import checklist_table
from dynamonet.report.claims import claims_table
from dynamonet.report.collect import Study, read_study
from dynamonet.report.drawing import Drawing, encode, report_style
from dynamonet.report.effects import effects_table
from dynamonet.report.figures import ablation_figure, label_efficiency_figure, learning_curves_figure
from dynamonet.report.figures_classes import class_gain_figure
from dynamonet.report.figures_cost import accuracy_cost_figure, accuracy_latency_figure
from dynamonet.report.figures_time import stage_times_figure
from dynamonet.report.figures_video import confusion_figure, predicted_frames_figure
from dynamonet.report.numbers import numbers_tex
from dynamonet.report.page import render_page
from dynamonet.report.sources import cell_sources
from dynamonet.report.table_files import Table, write_table
from dynamonet.report.tables import (
    ablation_table,
    accuracy_table,
    frame_prediction_table,
    label_efficiency_table,
)
from dynamonet.report.tables_comparison import comparison_table, pairs_table
from dynamonet.report.tables_compute import compute_table
from dynamonet.report.tables_fairness import fairness_table
from dynamonet.report.tables_horizon import horizon_table
from dynamonet.report.tables_records import cost_table, datasets_table, runs_table, runtime_table
from dynamonet.report.tables_retrieval import retrieval_table

TABLES = {
    "effects": effects_table,
    "claims": claims_table,
    "accuracy": accuracy_table,
    "comparison": comparison_table,
    "pairs": pairs_table,
    "cost": cost_table,
    "ablation": ablation_table,
    "label_efficiency": label_efficiency_table,
    "frame_prediction": frame_prediction_table,
    "horizon": horizon_table,
    "retrieval": retrieval_table,
    "runtime": runtime_table,
    "compute": compute_table,
    "fairness": fairness_table,
    "datasets": datasets_table,
    "checklist": checklist_table,
    "runs": runs_table,
}


def write_report(study_dir: Path) -> None:
    """Write tables/, figures/ and report.html of the study from its records alone.

    Equal records give equal bytes; measured times are in the tables `runtime` and `compute`, the figures
    `accuracy_latency` and `stage_times`, and in report.html only.
    """
    study = read_study(Path(study_dir))
    _check_scores(study)
    tables = {key: build(study) for key, build in TABLES.items()}
    with report_style():
        drawings = draw_figures(study, tables)
        pictures = {d.key: {s: encode(d.image, s) for s in drawing.SUFFIXES} for d in drawings if d.image}
    page = render_page(study, tables, drawings, {key: picture["png"] for key, picture in pictures.items()})

    for key, table in tables.items():
        if table is None:
            _remove(study.directory / "tables", key, table_files.SUFFIXES)
        else:
            write_table(table, study.directory / "tables")
            sources = cell_sources(study, table).to_csv(index=False)
            files.write_text(study.directory / f"tables/{key}.sources.csv", sources)
    files.write_text(study.directory / "tables/numbers.tex", numbers_tex(study, tables))
    (study.directory / "figures").mkdir(exist_ok=True)
    for figure in drawings:
        if figure.image is None:
            _remove(study.directory / "figures", figure.key, drawing.SUFFIXES)
        for suffix, content in pictures.get(figure.key, {}).items():
            files.write_bytes(study.directory / f"figures/{figure.key}.{suffix}", content)
    files.write_text(study.directory / "report.html", page)


def _check_scores(study: Study) -> None:
    """Every file of scores that is there agrees with its record, whether or not a table is computed from it."""
    runs = study.runs[(study.runs["state"] == "evaluated") & study.runs["task"].isin(("train", "evaluate"))]
    for run in dict.fromkeys(runs["run"]):
        if (study.directory / f"runs/{run}/logits.parquet").is_file():
            study.videos.of(run)


def draw_figures(study: Study, tables: dict[str, Table | None]) -> list[Drawing]:
    return [
        accuracy_cost_figure(study, tables["accuracy"]),
        accuracy_latency_figure(study, tables["accuracy"]),
        class_gain_figure(study),
        ablation_figure(study, tables["ablation"]),
        label_efficiency_figure(study, tables["label_efficiency"]),
        predicted_frames_figure(study),
        confusion_figure(study),
        learning_curves_figure(study),
        stage_times_figure(study),
    ]


def _remove(folder: Path, key: str, suffixes: tuple[str, ...]) -> None:
    """An earlier report's file would pass for a result of this one."""
    for suffix in suffixes:
        (folder / f"{key}.{suffix}").unlink(missing_ok=True)
