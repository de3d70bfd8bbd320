import subprocess
import sys

import pytest

from dynamonet.errors import UserError
from dynamonet.models.catalogue import check_release, release_of
from dynamonet.models.release import NORMALISATIONS, THREE_D_RESNETS, backbone_key


@pytest.mark.parametrize(
    ("released", "own"),
    [
        ("module.conv1.weight", "backbone.conv1.weight"),
        ("conv1.weight", "backbone.conv1.weight"),
        ("module.layer2.0.downsample.1.running_var", "backbone.layer2.0.downsample.1.running_var"),
        ("module.fc.weight", "fc.weight"),
        ("fc.bias", "fc.bias"),
    ],
)
def test_names_map_with_and_without_the_prefix(released, own):
    assert backbone_key(released) == own


def test_a_model_says_which_formats_it_takes():
    assert release_of("dynamonet", "3d_resnets").own_key("module.bn1.bias") == "backbone.bn1.bias"
    with pytest.raises(UserError, match="'slow_r50' takes no checkpoint of format '3d_resnets': it takes pytorchvideo"):
        release_of("slow_r50", "3d_resnets")
    with pytest.raises(UserError, match="takes no checkpoint of format 'caffe': it takes 3d_resnets"):
        release_of("dynamonet", "caffe")


def test_a_start_asks_for_the_pixels_that_the_files_were_trained_with():
    values = THREE_D_RESNETS.options["normalisation"]
    assert set(values) < set(NORMALISATIONS)
    for value in values:
        check_release("dynamonet", "3d_resnets", {"normalisation": value})
    for options in ({}, {"normalisation": "kinetics"}):
        with pytest.raises(UserError, match=f"normalisation is 'kinetics'.* set it to {values[0]} or {values[1]}$"):
            check_release("dynamonet", "3d_resnets", options)


def test_pixels_are_scaled_as_the_checkpoints_of_the_branch_cvpr2018_saw_them():
    mean, deviation = NORMALISATIONS["3d_resnets_2018"]
    pixel = 200
    for channel, theirs in enumerate((114.7748, 107.7354, 99.4750)):
        assert (pixel / 255 - mean[channel]) / deviation[channel] == pytest.approx(pixel - theirs)


def test_a_study_learns_of_formats_without_torch():
    code = "import sys; from dynamonet.models.catalogue import release_of; release_of('dynamonet', '3d_resnets')"
    subprocess.run([sys.executable, "-c", f"{code}; assert 'torch' not in sys.modules"], check=True, timeout=100)
