"""Checkpoints that others have released: how their parameters map to a model's. Free of torch.

A model takes a format of checkpoint if its module has `RELEASES`, a mapping from the format's name to a `Release`.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from dynamonet.models.card import KINETICS_MEAN, KINETICS_STD


class Release(NamedTuple):
    """One format, as one model takes it.

    entry: where in the saved mapping the parameters are; None if they are the mapping. own_key: from a parameter's name
    there to its name in the model's network; a name that the network lacks stands for what it does not take. lacks:
    what is in the names of parameters that no file of the format has, in parts of the network that it has otherwise;
    they start fresh. options: for options of the model, the values with which it is the network that the files were
    trained for.
    """

    entry: str | None
    own_key: Callable[[str], str]
    lacks: tuple[str, ...] = ()
    options: Mapping[str, tuple] = MappingProxyType({})


def backbone_key(released: str) -> str:
    """The name in DynamoNet of a parameter of kenshohara/3D-ResNets-PyTorch, `module.layer1.0.conv1.weight`.

    The files of 2017 and 2018 were saved from DataParallel, with a prefix that those of 2020 lack.
    """
    key = released.removeprefix("module.")
    return key if key.startswith("fc.") else f"backbone.{key}"


THREE_D_RESNETS = Release(
    "state_dict",
    backbone_key,
    lacks=(".stc.",),
    options=MappingProxyType({"normalisation": ("3d_resnets_2018", "3d_resnets_2020")}),
)

# Mean and standard deviation of pixels in [0, 1], per channel, that a backbone was trained with. The files of the
# branch CVPR2018 (resnet-18-kinetics.pth and the like) saw pixels of 0 to 255 less the mean of ActivityNet (its
# mean.py with norm_value 1), those of 2020 (r3d18_K_200ep.pth and the like) the statistics in mean.py of master.
NORMALISATIONS = {
    "kinetics": (KINETICS_MEAN, KINETICS_STD),
    "3d_resnets_2018": ((114.7748 / 255, 107.7354 / 255, 99.4750 / 255), (1 / 255,) * 3),
    "3d_resnets_2020": ((0.4345, 0.4051, 0.3775), (0.2768, 0.2713, 0.2737)),
}
