"""Size and arithmetic of a model, counted once and kept; torch is imported for the first time a model is counted."""

from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from dynamonet.code_files import PROJECT
from dynamonet.files import canonical_json, sha256_file, sha256_text, write_json
from dynamonet.models.card import Clip
from dynamonet.recipe import Recipe
from dynamonet.records import Record

FOLDER = Path("data/footprints")
CODE = ("baselines", "dynamonet/models", "dynamonet/measure")


@dataclass(frozen=True)
class Footprint:
    gmacs_per_clip: float
    """fvcore's count of a forward pass at inference."""
    parameters: int
    weights_bytes: int
    checkpoints_at_once: int
    """Files that a fit has at once: those it keeps, and the one that it writes."""

    def checkpoint_bytes(self, recipe: Recipe) -> int:
        """What a fit's checkpoints take at most: weights, their average, and the optimiser's state in fp32."""
        moments = {"adamw": 2, "sgd": 1}[recipe.optimiser]
        copies = 1 + (recipe.ema_decay is not None)
        return self.checkpoints_at_once * (copies * self.weights_bytes + moments * 4 * self.parameters)


def footprint(build: str, options: dict, clip: Clip, classes: int, crop: int | None = None) -> Footprint:
    """Of a model of the catalogue, built for `clip` and shown frames of `crop` pixels; None: the clip's.

    Raises UserError for one that cannot be built or counted.
    """
    crop = crop or clip.crop
    shown = [] if crop == clip.crop else [crop]
    key = canonical_json([build, options, clip.frames, clip.crop, classes, _code(), *shown])
    path = FOLDER / f"{build}-{sha256_text(key)[:16]}.json"
    if path.is_file():
        return Footprint(**Record.read(path).content)
    found = _count(build, options, clip, classes, crop)
    write_json(path, asdict(found))
    return found


@cache
def _code() -> str:
    """A hash of all that builds and counts models."""
    files = sorted(path for folder in CODE for path in (PROJECT / folder).glob("*.py"))
    return sha256_text("".join(map(sha256_file, files)))


def _count(build: str, options: dict, clip: Clip, classes: int, crop: int) -> Footprint:
    import torch

    from dynamonet.engine.checkpoint import KEPT
    from dynamonet.measure.cost import count_cost
    from dynamonet.models.catalogue import model_module
    from dynamonet.models.classifier import build_classifier

    model = build_classifier(build, classes, options, clip)
    video = torch.empty(1, model_module(build).CARD.channels, clip.frames, crop, crop)
    return Footprint(
        gmacs_per_clip=count_cost(model, video).gmacs_per_clip,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        weights_bytes=sum(tensor.nbytes for tensor in model.net.state_dict().values()),
        checkpoints_at_once=KEPT + 1,
    )
