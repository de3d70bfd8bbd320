"""The optimiser: which parameters are trained, at which multiple of the learning rate, and with what decay."""

from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from dynamonet.errors import UserError
from dynamonet.recipe import ALL, HEAD, Recipe


def build_optimiser(net: nn.Module, recipe: Recipe, head: set[str]) -> Optimizer:
    """The optimiser of the parameters that `recipe.trainable` names; all others are frozen (`requires_grad` off).

    head: names of the classifier's parameters, which recipes call "head". Any other part is a prefix of parameter
    names that ends at a dot, such as "backbone.layer4". Parameters that the network itself has frozen stay so.

    Each group holds its factor on the learning rate as "scale": that of the head if it has one, else that of the
    longest part. Without `decay_all`, biases and parameters of one dimension (those of normalisation layers) are
    not decayed. Groups and the parameters in them are in the network's order. Raises UserError for a part, or a
    factor's part, that no parameter belongs to.
    """
    names = [name for name, parameter in net.named_parameters() if parameter.requires_grad]
    trained = names if ALL in recipe.trainable else _members(names, recipe.trainable, head)
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(name in trained)
    factors = _factors(trained, recipe.learning_rate_multipliers, head)

    groups: dict[tuple[float, float], dict] = {}
    for name in trained:
        parameter = net.get_parameter(name)
        decayed = recipe.decay_all or (parameter.ndim > 1 and not name.endswith("bias"))
        kind = scale, decay = factors.get(name, 1.0), recipe.weight_decay if decayed else 0.0
        group = groups.setdefault(kind, {"params": [], "scale": scale, "weight_decay": decay})
        group["params"].append(parameter)
    # Fused kernels are three times faster on a CPU and not the same to the bit as the loop, so torch is left to choose.
    if recipe.optimiser == "sgd":
        optimiser = SGD(list(groups.values()), recipe.learning_rate, momentum=0.9, nesterov=True)
    else:
        optimiser = AdamW(list(groups.values()), recipe.learning_rate)
    set_learning_rate(optimiser, recipe.learning_rate)
    return optimiser


def set_learning_rate(optimiser: Optimizer, rate: float) -> None:
    """Set every group's learning rate to `rate` times its factor."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group["scale"]


def set_training(net: nn.Module) -> None:
    """Put the network in training mode, but every module of frozen parameters alone in evaluation mode.

    Batch normalisation within it keeps its running statistics, and its dropout drops nothing: a frozen part gives the
    features that it gives in evaluation. Dropout beside trained parameters, such as a classifier's, stays on.
    """
    net.train()
    for module in net.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            module.eval()


def _belongs(name: str, part: str, head: set[str]) -> bool:
    return name in head if part == HEAD else f"{name}.".startswith(f"{part}.")


def _members(names: list[str], parts: tuple[str, ...], head: set[str]) -> list[str]:
    """The names that belong to one of the parts. Raises UserError for a part without any."""
    for part in parts:
        if not any(_belongs(name, part, head) for name in names):
            raise UserError(f"trainable: the network has no part {part!r}: {_known(names)}")
    return [name for name in names if any(_belongs(name, part, head) for part in parts)]


def _factors(trained: list[str], multipliers: dict[str, float], head: set[str]) -> dict[str, float]:
    """Parameter -> factor on its learning rate, where it has one. Raises UserError for a factor that nothing has."""
    closest = sorted(multipliers, key=lambda part: (part == HEAD, len(part)), reverse=True)
    part_of = {name: next((part for part in closest if _belongs(name, part, head)), None) for name in trained}
    for part in multipliers:
        if part not in part_of.values():
            raise UserError(
                f"learning_rate_multipliers: {part!r} sets the rate of no trained parameter: {_known(trained)}"
            )
    return {name: multipliers[part] for name, part in part_of.items() if part is not None}


def _known(names: list[str]) -> str:
    first = dict.fromkeys(name.partition(".")[0] for name in names)
    return f"name {HEAD!r} or a parameter's name up to one of its dots; they begin with {', '.join(first)}"
