"""What the data tests share: official annotations, real clips, numbered frames and a small motion set."""

import os
from pathlib import Path

import numpy as np
import pytest

from dynamonet.data.motion import MotionConfig
from dynamonet.data.motion_layouts import generate

BITS = 6
BAR_WIDTH = 16


def _folder_named_by(variable: str) -> Path:
    if not os.environ.get(variable):
        pytest.skip(f"{variable} names no folder")
    return Path(os.environ[variable])


@pytest.fixture(scope="session")
def annotations() -> Path:
    return _folder_named_by("DYNAMONET_ANNOTATIONS")


@pytest.fixture(scope="session")
def real_clips() -> list[Path]:
    suffixes = {".avi", ".mp4", ".mkv", ".mov"}
    return sorted(path for path in _folder_named_by("DYNAMONET_CLIPS").rglob("*") if path.suffix in suffixes)


class Barcodes:
    """Frames that show their number as bright and dark bars, which survive any codec."""

    @staticmethod
    def draw(number: int) -> np.ndarray:
        bits = [number >> bit & 1 for bit in range(BITS)]
        bars = np.repeat(np.where(bits, 230, 30).astype(np.uint8), BAR_WIDTH)
        return bars[None, :, None].repeat(64, 0).repeat(3, 2)

    @staticmethod
    def read(frames: np.ndarray) -> list[int]:
        bars = frames[:, 20:44].reshape(len(frames), 24, BITS, BAR_WIDTH, 3)[:, :, :, 4:-4].mean(axis=(1, 3, 4))
        return ((bars > 128) << np.arange(BITS)).sum(axis=1).tolist()


@pytest.fixture(scope="session")
def barcodes() -> type[Barcodes]:
    return Barcodes


@pytest.fixture(scope="session")
def small_motion_config() -> MotionConfig:
    return MotionConfig(
        frames=12,
        width=48,
        height=32,
        kinetics_train_per_class=3,
        kinetics_val_per_class=2,
        ucf_groups=4,
        ucf_clips_per_group=2,
        hmdb_train_per_class=3,
        hmdb_test_per_class=2,
        hmdb_unused_per_class=1,
        pool_videos=20,
    )


@pytest.fixture(scope="session")
def motion_root(tmp_path_factory: pytest.TempPathFactory, small_motion_config: MotionConfig) -> Path:
    root = tmp_path_factory.mktemp("motion")
    generate(small_motion_config, root)
    return root
