"""What a prepared copy of a video is: the recipe that a study chooses, and the place where a copy lies.

Free of torch and of decoders.
"""

import math
from pathlib import Path

from pydantic import Field

from dynamonet.files import canonical_json, sha256_text
from dynamonet.models.card import Frozen

GOP = 8
"""Frames from one key frame to the next."""

ENCODER = "libx264"
ENCODER_OPTIONS = {
    "flags": "+bitexact",
    "preset": "medium",
    "tune": "fastdecode",
    "bf": "0",
    # Macroblock trees give other bytes at every run; scene cuts would move key frames off the grid of 8.
    "x264-params": "mbtree=0:scenecut=0:cpu-independent=1",
}

FORMAT_VERSION = 1
"""Raise it when copies get other bytes by a change that neither recipe nor encoder options show, such as of scaling."""


class CopyRecipe(Frozen):
    """Prepared copies: H.264 with a key frame every 8 frames and no B-frames, frame for frame those of the source."""

    short_side: int = Field(
        ge=16, multiple_of=2, description="of the stored frames, in pixels; smaller sources keep their size"
    )
    crf: int = Field(
        default=18,
        ge=0,
        le=23,
        description="x264's constant rate factor: lower is better and larger; above 23 too much is lost",
    )


def recipe_id(recipe: CopyRecipe) -> str:
    """A readable name that ends in a hash of all that decides the bytes of a copy, library versions apart."""
    settings = dict(
        recipe=recipe.model_dump(), gop=GOP, encoder=ENCODER, options=ENCODER_OPTIONS, format=FORMAT_VERSION
    )
    return f"s{recipe.short_side}-crf{recipe.crf}-{sha256_text(canonical_json(settings))[:8]}"


def copy_path(folder: Path, source_sha256: str, recipe: CopyRecipe) -> Path:
    """Where the copy of a file lies: named by the file's content, so that equal files share one copy."""
    return Path(folder) / recipe_id(recipe) / source_sha256[:2] / f"{source_sha256}.mp4"


def least_short_side(crop: int, scales: tuple[float, ...]) -> int:
    """The least even short side of which the smallest crop, `min(scales)` of it, still has `crop` pixels.

    Copies with fewer pixels are enlarged again when clips are cut, which changes a protocol without a word.
    """
    side = math.ceil(round(crop / min(scales), 6))  # rounded first: 112 / 0.7 is a little more than 160
    return side + side % 2
