"""`altered_stage.py CHANGE STAGE --spec FILE`: a stage with a change that no spec can express."""

import os
import sys

from torch.nn.modules.batchnorm import _BatchNorm

from dynamonet.cli import run
from dynamonet.engine.objective import Objective


def without_batch_norm() -> None:
    def forward(self, video):
        shape = (1, -1, *(1,) * (video.dim() - 2))
        return video * self.weight.view(shape) + self.bias.view(shape)

    _BatchNorm.forward = forward


def not_finite_at_rank_1() -> None:
    forward = Objective.forward

    def broken(self, video, labels, step):
        loss, values = forward(self, video, labels, step)
        factor = float("nan") if os.environ["SLURM_PROCID"] == "1" else 1.0
        return loss * factor, values * factor

    Objective.forward = broken


if __name__ == "__main__":
    {"without_batch_norm": without_batch_norm, "not_finite_at_rank_1": not_finite_at_rank_1}[sys.argv.pop(1)]()
    run()
