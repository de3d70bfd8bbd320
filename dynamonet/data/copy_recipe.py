"""What a prepared copy of a video is: the part of the recipe that a study chooses. Free of torch and of decoders."""

from pydantic import Field

from dynamonet.models.card import Frozen


class CopyRecipe(Frozen):
    """Prepared copies: H.264 with a key frame every 8 frames and no B-frames, frame for frame those of the source."""

    short_side: int = Field(
        ge=16, multiple_of=2, description="of the stored frames, in pixels; smaller sources keep their size"
    )
    crf: int = Field(default=18, ge=0, le=51, description="x264's constant rate factor: lower is better and larger")
