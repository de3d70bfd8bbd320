"""One optimiser update: from a batch of clips to changed weights."""

from contextlib import nullcontext

import torch
from torch import Tensor, nn

from dynamonet.data.sampling import generator
from dynamonet.engine.acceleration import accelerate, as_input, autocast, scaler
from dynamonet.engine.averaging import WeightAverage
from dynamonet.engine.device import seed_torch
from dynamonet.engine.distribution import World
from dynamonet.engine.memory import advice, largest_that_fits
from dynamonet.engine.mixing import mix
from dynamonet.engine.objective import Objective
from dynamonet.engine.optimiser import build_optimiser, set_learning_rate, set_training
from dynamonet.engine.schedule import Schedule
from dynamonet.engine.weights import head_keys
from dynamonet.models.classifier import Classifier
from dynamonet.spec import RunSpec


class Update:
    """What an update changes: the model's weights and the state of optimiser, schedule, scaler and average.

    `load_state_dict` if at all, then `prepare`; then, for each step, `gradients` and `apply`.
    """

    def __init__(self, spec: RunSpec, model: Classifier, world: World, classes: int):
        self.spec, self.model, self.world, self.classes = spec, model, world, classes
        self.device = next(model.parameters()).device
        recipe = spec.recipe
        accelerate(model, recipe)
        self.optimiser = build_optimiser(model.net, recipe, head_keys(spec))
        self.schedule = Schedule(recipe)
        self.scaler = scaler(recipe, self.device)
        self.learning_rate = self.schedule.rate(0)
        """That of the last step."""
        self.average = None if recipe.ema_decay is None else WeightAverage(model.net, recipe.ema_decay)

    def state_dict(self) -> dict:
        return {
            "model": self.model.net.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": self.scaler.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
        }

    def load_state_dict(self, state: dict) -> None:
        self.model.net.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        self.scaler.load_state_dict(state["scaler"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])

    def prepare(self) -> None:
        """Share gradients with the other processes, and be ready to train."""
        self.objective = self.world.shared(Objective(self.spec, self.model), self.spec.recipe.sync_batch_norm)
        self.objective.train()
        set_training(self.model.net)

    def weights(self) -> dict[str, Tensor]:
        """The weights that are the result so far, by their names in the network."""
        return self.model.net.state_dict() if self.average is None else self.average.weights()

    def gradients(self, batch: dict, step: int) -> tuple[Tensor, Tensor]:
        """Forward and backward pass of this process's share of a batch, in parts.

        Returns its VALUES and the norm of the gradient, which is all processes' already, on the CPU. Scaled gradients
        (fp16) have overflowed where the norm is not finite, and `apply` leaves them out.
        """
        spec, recipe = self.spec, self.spec.recipe
        # Dropout's draws are a function of the step, not of the steps before it.
        seed_torch(spec.seed, "step", step, *([] if self.world.first else [self.world.rank]))
        self.learning_rate = self.schedule.rate(step)
        set_learning_rate(self.optimiser, self.learning_rate)
        video, labels = self._inputs(batch)
        if labels is not None:
            video, labels = mix(video, labels, self.classes, recipe, generator(spec.seed, "mix", step))
        self.optimiser.zero_grad(set_to_none=True)
        parts = recipe.accumulation
        total = 0
        for part in range(parts):
            last = part == parts - 1
            with nullcontext() if last or self.world.size == 1 else self.objective.no_sync():
                own = None if labels is None else labels.chunk(parts)[part]
                total += self._backward(self.objective, video.chunk(parts)[part], own, step)
        self.scaler.unscale_(self.optimiser)
        self.norm = nn.utils.get_total_norm([p.grad for p in self.model.parameters() if p.grad is not None])
        values_and_norm = torch.cat([total, self.norm[None]]).cpu()  # at once: the device is waited for
        return values_and_norm[:-1], values_and_norm[-1]

    def _inputs(self, batch: dict) -> tuple[Tensor, Tensor | None]:
        video = as_input(batch["video"], self.spec.recipe, self.device)
        labels = None
        if self.spec.task != "pretrain":
            labels = batch["class_index"].to(self.device, non_blocking=True)
        return video, labels

    def _backward(self, objective: nn.Module, video: Tensor, labels: Tensor | None, step: int) -> Tensor:
        parts = self.spec.recipe.accumulation
        with autocast(self.spec.recipe, self.device):
            loss, values = objective(video, labels, step)
        self.scaler.scale(loss / parts).backward()
        return values / parts

    def apply(self, step: int, loss: float) -> None:
        """Change the weights by the gradients; `loss` is the mean over all processes."""
        recipe = self.spec.recipe
        if recipe.gradient_clip is not None:
            nn.utils.clip_grads_with_norm_(self.model.parameters(), recipe.gradient_clip, self.norm)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.schedule.observe(step, loss)
        if self.average is not None:
            self.average.update(self.model.net)

    def memory_advice(self, batch: dict, step: int) -> str:
        """What to do, after the step of this batch has run out of memory. Nothing can be trained any more then."""
        # The other processes would have to take part in what the shared objective does, even in backward passes of
        # others, and in batch normalisation that is over all of them.
        self.objective = None
        for module in self.model.modules():
            if isinstance(module, nn.SyncBatchNorm):
                module.eval()

        def attempt(clips: int) -> None:
            self.optimiser.zero_grad(set_to_none=True)
            objective = Objective(self.spec, self.model)
            self._backward(objective, *self._inputs({name: batch[name][:clips] for name in batch}), step)
            self.optimiser.step()

        recipe, processes = self.spec.recipe, self.world.size
        largest = largest_that_fits(attempt, recipe.batch_size // processes // recipe.accumulation)
        return f"{self.spec.run}: {advice(recipe, processes, largest, self.device)}"
