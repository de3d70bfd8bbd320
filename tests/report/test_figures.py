from dataclasses import replace

import matplotlib.colors
import numpy as np
import pandas as pd
import pytest
import seaborn as sns
import synthetic_study

from dynamonet.files import read_json, write_json
from dynamonet.report.collect import read_study
from dynamonet.report.drawing import DPI, encode, report_style
from dynamonet.report.figures_classes import GAIN, LOSS, backbone_pairs, class_gain_figure, class_gains
from dynamonet.report.figures_cost import FRONT, accuracy_cost_figure, accuracy_latency_figure, pareto_front
from dynamonet.report.figures_time import stage_times_figure
from dynamonet.report.figures_video import predicted_frames_figure
from dynamonet.report.tables import accuracy_table
from dynamonet.report.videos import ScoredVideos


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


def test_a_model_without_latency_is_named_not_drawn(study):
    content = study.measures["c3d"].content
    untimed = replace(study.measures["c3d"], content={**content, "metrics": {"gmacs_per_video": 20.48}})
    without = replace(study, measures={**study.measures, "c3d": untimed})
    figure = drawn(lambda: accuracy_latency_figure(without, accuracy_table(without)))
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


def test_the_colours_are_of_the_palette_for_the_colour_blind():
    assert {GAIN, LOSS} <= set(sns.color_palette("colorblind").as_hex())


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
