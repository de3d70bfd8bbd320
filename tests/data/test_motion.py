import numpy as np
import pytest
import torch
from pydantic import ValidationError

from dynamonet.data.encoding import encode
from dynamonet.data.motion import CLASSES, MotionConfig, render
from dynamonet.data.video import read_frames

SMALL = MotionConfig(difficulty=0, frames=12, width=48, height=32)
TRAIN_PER_CLASS, TEST_PER_CLASS = 80, 40


def clip(class_name, number, config=SMALL):
    return render(class_name, config, ("look", class_name, number), ("move", class_name, number))


def test_config_is_frozen_and_strict():
    with pytest.raises(ValidationError):
        MotionConfig(difficulti=0.5)
    with pytest.raises(ValidationError):
        MotionConfig(difficulty=1.5)
    assert all(field.description for field in MotionConfig.model_fields.values())


@pytest.mark.parametrize("difficulty", [0, 0.5, 1])
def test_video_is_textured_and_not_clipped_flat(difficulty):
    video = clip(CLASSES[0], 0, MotionConfig(difficulty=difficulty, frames=4))
    assert video.shape == (4, 64, 80, 3) and video.dtype == np.uint8
    assert video.std(axis=(1, 2)).min() > 10
    assert np.isin(video, (0, 255)).mean() < 0.3


def test_movement_does_not_change_the_look():
    first = [render("moving left", SMALL, ("look",), ("move", number)) for number in range(2)]
    np.testing.assert_array_equal(first[0][0], first[1][0])
    assert (first[0][-1] != first[1][-1]).any()


def flow_moments(one, two):
    """Per class of motion, how well the change between two grey frames fits it: (N, 5) of frames (N, H, W).

    Left, up, clockwise, larger, sheared: the brightness change times the gradient along each motion.
    """
    grad_y, grad_x = np.gradient(one, axis=(1, 2))
    change = two - one
    y, x = np.meshgrid(np.linspace(-1, 1, one.shape[1]), np.linspace(-1, 1, one.shape[2]), indexing="ij")
    along = (grad_x, grad_y, x * grad_y - y * grad_x, -x * grad_x - y * grad_y, -y * grad_x)
    return np.stack([(change * a).sum(axis=(1, 2)) / (a * a).sum(axis=(1, 2)) for a in along], axis=1)


def test_motion_goes_where_its_name_says():
    expected = {"moving left": 0, "moving up": 1, "rotating anticlockwise": 2, "zooming in": 3}
    opposite = {"moving right": 0, "moving down": 1, "rotating clockwise": 2, "zooming out": 3}
    for sign, names in ((1, expected), (-1, opposite)):
        for name, column in names.items():
            grey = np.stack([clip(name, number) for number in range(8)]).mean(axis=-1)
            moments = flow_moments(grey[:, 0], grey[:, 1])
            assert (sign * moments[:, column] > 0).mean() > 0.8, name


def appearance(frames):
    """What one frame says, (N, D) of uint8 (N, H, W, 3): pixels, colours, edge directions, spectrum."""
    grey = frames.mean(axis=-1)
    pixels = frames.reshape(len(frames), 8, 4, 12, 4, 3).mean(axis=(2, 4)).reshape(len(frames), -1)
    colours = np.concatenate([frames.mean(axis=(1, 2)), frames.std(axis=(1, 2))], axis=1)
    grad_y, grad_x = np.gradient(grey, axis=(1, 2))
    bins = ((np.arctan2(grad_y, grad_x) + np.pi) / (2 * np.pi) * 16).astype(int).clip(0, 15)
    edges = np.stack([(np.hypot(grad_x, grad_y) * (bins == b)).mean(axis=(1, 2)) for b in range(16)], axis=1)
    spectrum = np.log(np.abs(np.fft.rfft2(grey - grey.mean(axis=(1, 2), keepdims=True)))[:, :12, :12] + 1)
    return np.concatenate([pixels, colours, edges, spectrum.reshape(len(frames), -1)], axis=1)


def accuracy(features, labels, train):
    """Test accuracy of a small network on standardised features."""
    torch.manual_seed(0)
    features = torch.from_numpy((features - features[train].mean(0)) / (features[train].std(0) + 1e-6)).float()
    labels = torch.from_numpy(labels)
    network = torch.nn.Sequential(
        torch.nn.Linear(features.shape[1], 64),
        torch.nn.ReLU(),
        torch.nn.Dropout(0.5),
        torch.nn.Linear(64, 12),
    )
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=0.1)
    for _ in range(150):
        loss = torch.nn.functional.cross_entropy(network(features[train]), labels[train])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    network.eval()
    with torch.no_grad():
        return (network(features[~train]).argmax(1) == labels[~train]).double().mean().item()


def test_single_frame_is_at_chance(tmp_path):
    """One frame, as it leaves the codec, tells nothing; its change to the next one tells much."""
    per_class = TRAIN_PER_CLASS + TEST_PER_CLASS
    pairs, labels, train = [], [], []
    for label, class_name in enumerate(CLASSES):
        for number in range(per_class):
            encode(tmp_path / "clip.mp4", clip(class_name, number), "h264", 25)
            first = number % (SMALL.frames - 1)
            pairs.append(read_frames(tmp_path / "clip.mp4", [first + 1, first]))
            labels.append(label)
            train.append(number < TRAIN_PER_CLASS)
    pairs, labels, train = np.stack(pairs), np.array(labels), np.array(train)
    one_frame = appearance(pairs[:, 0])
    grey = pairs.mean(axis=-1)
    chance, clips = 1 / len(CLASSES), len(CLASSES) * TEST_PER_CLASS
    bound = chance + 3.1 * (chance * (1 - chance) / clips) ** 0.5  # one chance in a thousand
    single = accuracy(one_frame, labels, train)
    double = accuracy(flow_moments(grey[:, 1], grey[:, 0]), labels, train)
    print(f"one frame {single:.3f}, two frames {double:.3f}, bound {bound:.3f}")
    assert single < bound
    assert double > 2 * bound
