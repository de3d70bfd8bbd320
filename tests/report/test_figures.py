import json
from dataclasses import replace
from pathlib import Path

import matplotlib
import matplotlib.colors
import numpy as np
import pandas as pd
import pytest
import seaborn as sns
import synthetic_study
from matplotlib.container import ErrorbarContainer

from dynamonet.expansion import expand
from dynamonet.files import read_json, write_json
from dynamonet.report.collect import read_study
from dynamonet.report.drawing import DPI, FILLS, encode, panels, report_style, styles_of
from dynamonet.report.figures import ablation_figure, label_efficiency_figure, learning_curves_figure
from dynamonet.report.figures_classes import GAIN, LOSS, backbone_pairs, class_gain_figure, class_gains
from dynamonet.report.figures_cost import FRONT, accuracy_cost_figure, accuracy_latency_figure, pareto_front
from dynamonet.report.figures_time import stage_times_figure
from dynamonet.report.figures_video import confusion_figure, predicted_frames_figure
from dynamonet.report.tables import ablation_table, accuracy_table, label_efficiency_table
from dynamonet.report.videos import ScoredVideos
from dynamonet.spec_files import resolved
from dynamonet.study import load_study, read_config

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def study(reported):
    return read_study(reported)


def drawn(figure):
    with report_style():
        return figure()


def test_the_pareto_front_keeps_what_nothing_cheaper_beats():
    costs = np.array([4.0, 1.0, 2.0, 2.0, 8.0])
    values = np.array([70.0, 60.0, 65.0, 69.0, 70.0])
    assert pareto_front(costs, values).tolist() == [1, 3, 0]
    assert pareto_front(np.array([]), np.array([])).size == 0


@pytest.mark.parametrize("figure", [accuracy_cost_figure, accuracy_latency_figure])
def test_every_arm_and_the_front_are_drawn_in_each_panel(study, figure):
    table = accuracy_table(study)
    image = drawn(lambda: figure(study, table)).image
    assert len(image.axes) == 2
    for ax in image.axes:
        assert set(ax.get_legend_handles_labels()[1]) == {FRONT, *table.tidy["arm"]}
        assert ax.get_xscale() == "log"


def test_latency_is_drawn_from_its_10th_to_its_90th_percentile(study):
    figure = drawn(lambda: accuracy_latency_figure(study, accuracy_table(study)))
    lines = [line for container in figure.image.axes[0].containers for line in container.lines[2]]
    horizontal = [line.get_segments()[0] for line in lines if np.ptp(line.get_segments()[0][:, 0]) > 0]
    assert [40.1, 47.9] in [segment[:, 0].tolist() for segment in horizontal]
    assert "CPU: AMD EPYC, 1 thread" in figure.caption


@pytest.mark.parametrize(
    ("draw", "measured"),
    [(accuracy_latency_figure, "gmacs_per_video"), (accuracy_cost_figure, "latency_ms_median")],
)
def test_a_model_without_its_measurement_is_named_not_drawn(study, draw, measured):
    content = study.measures["c3d"].content
    untimed = replace(study.measures["c3d"], content={**content, "metrics": {measured: 20.48}})
    without = replace(study, measures={**study.measures, "c3d": untimed})
    figure = drawn(lambda: draw(without, accuracy_table(without)))
    assert "C3D" not in figure.image.axes[0].get_legend_handles_labels()[1]
    assert "not measured: C3D" in figure.caption


def test_class_gains_are_of_the_videos_that_both_have_scored():
    def scored(ids, right):
        index = np.array([{"a": 0, "b": 0, "c": 1, "d": 2}[name] for name in ids])
        hits = np.array(right)
        return ScoredVideos(pd.Index(ids), index, np.where(hits, index, 9), 4, {"top1": hits})

    ours = scored(["a", "b", "c"], [True, True, False])
    other = scored(["c", "d", "a", "b"], [True, True, False, True])
    np.testing.assert_array_equal(class_gains(ours, other), [50.0, -100.0, np.nan, np.nan])


def test_a_dynamonet_is_paired_with_its_own_backbone_alone(tmp_path):
    plan = synthetic_study.plan(models=4, datasets=1)
    models = plan["models"]
    models["c3d"] |= {"build": "dynamonet", "options": {"prediction": False, "dmr_features": 0, "depth": 10}}
    models["fixed_filters"] |= {"build": "dynamonet", "options": {"depth": 10, "prediction": False}}
    study = read_study(synthetic_study.write_study(tmp_path, plan, lambda run: synthetic_study.NEVER))
    assert backbone_pairs(study) == [("dynamonet", "no_dmr"), ("fixed_filters", "c3d")]
    models["no_dmr"]["clip"] = {"frames": 8, "stride": 1, "crop": 64}
    write_json(tmp_path / "study.json", plan)
    assert backbone_pairs(read_study(tmp_path)) == [("fixed_filters", "c3d")]


def test_class_gain_is_sorted_and_its_colour_says_the_sign(study):
    figure = drawn(lambda: class_gain_figure(study))
    assert len(figure.image.axes) == 2
    bars = figure.image.axes[0].patches
    gains = [bar.get_width() for bar in bars]
    assert gains == sorted(gains, reverse=True) and min(gains) < 0 < max(gains)
    for bar in bars:
        assert matplotlib.colors.to_hex(bar.get_facecolor()) == (GAIN if bar.get_width() > 0 else LOSS)
    assert "6 classes" in figure.caption


def test_the_colours_are_of_the_palette_for_the_colour_blind(study):
    palette = sns.color_palette("colorblind")
    assert {GAIN, LOSS} <= set(palette.as_hex())
    styles = styles_of(study, pd.DataFrame({"model": study.models, "arm": study.models, "init": "scratch"}))
    assert [style["color"] for style in styles.values()] == palette[: len(study.models)]


def test_bars_are_the_intervals_of_the_table(study):
    for draw, build, axis in (
        (ablation_figure, ablation_table, 0),
        (label_efficiency_figure, label_efficiency_table, 1),
    ):
        table = build(study)
        image = drawn(lambda draw=draw, table=table: draw(study, table)).image
        bars = [c for ax in image.axes for c in ax.containers if isinstance(c, ErrorbarContainer)]
        segments = [segment[:, axis] for bar in bars for segment in bar.lines[2][0].get_segments()]
        rows = table.tidy[["top1_ci95_low_percent", "top1_ci95_high_percent"]].to_numpy()
        np.testing.assert_allclose(sorted(map(tuple, segments)), sorted(map(tuple, rows)))
        assert all(low < high for low, high in rows)


def test_errors_of_prediction_and_of_copying_share_a_scale(study):
    image = drawn(lambda: predicted_frames_figure(study)).image
    rows = {ax.get_ylabel(): ax.images[0] for ax in image.axes if ax.images and ax.get_ylabel()}
    prediction, copying = rows["error of\nprediction"], rows["error of\ncopying t"]
    assert prediction.get_clim() == copying.get_clim()
    assert 0 < prediction.get_array().mean() < copying.get_array().mean()


def test_run_times_add_up_to_those_of_the_records(reported, study):
    figure = drawn(lambda: stage_times_figure(study))
    total = figure.image.axes[0]
    shown = dict(zip([label.get_text() for label in total.get_yticklabels()], total.patches, strict=True))
    records = [read_json(path) for path in reported.glob("runs/*/fit.json")]
    train = [record["time"]["wall_s"] for record in records if record["stage"] == "train"]
    assert shown[f"train ({len(train)})"].get_width() == pytest.approx(sum(train) / 60)
    assert total.get_xlabel() == "Wall-clock minutes of all"
    assert any(label.startswith("pretrain (3)") for label in shown)


def test_a_file_is_wide_enough_to_print(study):
    figure = drawn(lambda: stage_times_figure(study))
    with report_style():
        png = encode(figure.image, "png")
    assert int.from_bytes(png[16:20]) > 5 * DPI


def arms_study(tmp_path, runs, **experiments):
    """One experiment of these runs, or several."""
    plan = synthetic_study.plan(models=2, datasets=2)
    main = {"claim": "c", "task": "train", "tables": ["accuracy", "ablation"]}
    experiments = {"main": {"runs": runs}, **experiments}
    plan["experiments"] = {name: {**main, **experiment} for name, experiment in experiments.items()}
    plan["claims"] = {}
    return read_study(synthetic_study.write_study(tmp_path, plan))


def test_a_name_of_the_legend_has_one_style_in_all_panels_and_arms_of_a_model_differ(tmp_path):
    planned_run = synthetic_study.planned_run
    starts = {"ucf101": ("scratch", "released"), "hmdb51": ("other", "released")}
    runs = [planned_run("dynamonet", dataset, 1, 0, init) for dataset, inits in starts.items() for init in inits]
    modern = [{**run, "run": f"{run['run']}-modern"} for run in runs[:1]]
    study = arms_study(tmp_path, runs, modern={"runs": modern})
    image = drawn(lambda: accuracy_cost_figure(study, accuracy_table(study))).image
    fills: dict[str, set[str]] = {}
    for ax in image.axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            if label != FRONT:
                fills.setdefault(label, set()).add(handle.lines[0].get_fillstyle())
    assert len(fills) == 4 and all(len(of_label) == 1 for of_label in fills.values())
    assert set.union(*fills.values()) == set(FILLS[:4])


def test_a_resumed_log_counts_the_later_line_of_a_step_and_few_curves_have_bands(tmp_path, monkeypatch):
    runs = [synthetic_study.planned_run("dynamonet", "ucf101", 1, seed) for seed in (0, 1)]
    study = arms_study(tmp_path, runs)
    for run, first in zip(runs, (0.2, 0.4), strict=True):
        lines = [{"step": step, "loss": 1, "train_top1": share} for step, share in ((1, first), (2, 0.9), (2, 0.5))]
        (tmp_path / f"runs/{run['run']}/log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (ax,) = drawn(lambda: learning_curves_figure(study)).image.axes
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [30, 50])
    assert len(ax.collections) == 1
    monkeypatch.setattr("dynamonet.report.figures.BANDS_SHOWN", 0)
    assert not drawn(lambda: learning_curves_figure(study)).image.axes[0].collections


def test_rows_of_a_confusion_matrix_are_true_classes(tmp_path):
    run = synthetic_study.planned_run("dynamonet", "ucf101", 1, 0)
    arms_study(tmp_path, [run])
    folder = tmp_path / f"runs/{run['run']}"
    scores = pd.read_parquet(folder / "logits.parquet")
    scores.loc[scores["class_index"] == 0, "score_1"] = 2  # every video of class 0 passes for one of class 1
    synthetic_study.write_scores(folder, scores)
    study = read_study(tmp_path)
    shares = drawn(lambda: confusion_figure(study)).image.axes[0].collections[0].get_array()
    assert shares.reshape(6, 6)[0].tolist() == [0, 100, 0, 0, 0, 0]


def test_an_ablation_of_the_recipe_is_drawn_beside_what_it_is_compared_with(tmp_path):
    runs = [synthetic_study.planned_run(model, "ucf101", 1, 0) for model in ("dynamonet", "no_dmr")]
    strong = {"runs": [{**runs[0], "run": "strong"}], "reference": "main"}
    alone = {"runs": [{**runs[0], "dataset": "hmdb51", "run": "alone"}]}
    study = arms_study(tmp_path, runs, strong=strong, alone=alone)
    image = drawn(lambda: ablation_figure(study, ablation_table(study))).image
    names = [[label.get_text() for label in ax.get_yticklabels()] for ax in image.axes]
    assert names[0] == ["DynamoNet R3D-10", "DynamoNet without DMR", "DynamoNet R3D-10, strong"]
    mean = 100 * synthetic_study.default_top1(runs[0])
    dotted = [line.get_segments()[0][:, 0] for line in image.axes[0].collections if line.get_linestyle()[0][1]]
    np.testing.assert_allclose(dotted, np.full((3, 2), mean))


def test_a_row_of_panels_is_as_high_as_its_own_highest():
    image, axes = panels([6.0, 1.0, 1.0, 2.0], 3.0)
    assert image.get_figheight() == 8
    image.draw_without_rendering()
    heights = [ax.get_position().height for ax in axes]
    assert heights[0] > 2.5 * heights[3]


def test_the_paper_shows_what_its_networks_gain_over_both_backbones(tmp_path):
    paper = load_study(read_config(ROOT / "config/paper.yaml"))
    write_json(tmp_path / "study.json", resolved(paper, expand(paper)))
    pairs = backbone_pairs(read_study(tmp_path))
    assert {("dynamonet", "backbone"), ("stc_resnext101", "stc_resnext101_alone")} <= set(pairs)
    assert not {"backbone", "stc_resnext101_alone"} & {model for model, _ in pairs}


def test_what_a_user_has_set_in_matplotlib_changes_no_figure(study, tmp_path):
    settings = tmp_path / "matplotlibrc"
    settings.write_text("legend.fontsize: 20\nlines.markersize: 15\nerrorbar.capsize: 9\nsavefig.transparent: True\n")

    def svg() -> bytes:
        with report_style():
            return encode(accuracy_cost_figure(study, accuracy_table(study)).image, "svg")

    plain = svg()
    with matplotlib.rc_context(fname=settings):
        assert matplotlib.rcParams["lines.markersize"] == 15
        assert svg() == plain
        assert matplotlib.rcParams["lines.markersize"] == 15
