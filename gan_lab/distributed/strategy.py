"""How many processes train one model: one process per device, gradients averaged per phase, the module not wrapped."""

from collections.abc import Iterable, Sequence

from pytorch_lightning.strategies import DDPStrategy, StrategyRegistry
from torch import Tensor, nn

from gan_lab import collectives
from gan_lab.distributed.topology import STRATEGY
from gan_lab.layers.normalization import synchronize_batch_norms
from gan_lab.models.base import OneProcess


class PhaseStrategy(DDPStrategy, OneProcess):
    """Data parallelism for alternating updates: a phase sends the gradients of the networks that it steps, once.

    Torch's `DistributedDataParallel` expects one backward to reach all parameters; a GAN's never does. Told to look
    for the unused ones it walks the graph every time and sends the zeros of the other network along. Here the module
    is not wrapped: `GenerativeModule.updating` asks for the average when the gradients of a step are whole, so that
    double backward, several backwards and micro-batches need nothing special.

    Raises:
        RuntimeError: in `average_gradients`, where ranks disagree about which parameters the loss can reach.
    """

    def configure_ddp(self) -> None:
        assert self.model is not None
        synchronize_batch_norms(self.model)
        self._checked: set[tuple[str, tuple[bool, ...]]] = set()
        self.broadcast_state([*self.model.parameters(), *self.model.buffers()])

    def broadcast_state(self, tensors: Iterable[Tensor]) -> None:
        collectives.broadcast_(tensors)

    def average_gradients(self, parameters: Sequence[nn.Parameter], phase: str) -> None:
        self._check_reached(parameters, phase)
        collectives.average_([p.grad for p in parameters if p.grad is not None])

    def _check_reached(self, parameters: Sequence[nn.Parameter], phase: str) -> None:
        """At the first step of a kind: the ranks must agree on what it reaches, or their messages would not match."""
        reached = tuple(p.grad is not None for p in parameters)
        if (phase, reached) in self._checked:
            return
        self._checked.add((phase, reached))
        everywhere = collectives.broadcast_object(collectives.gather_objects(reached))
        if any(other != everywhere[0] for other in everywhere):
            assert self.lightning_module is not None
            names = {id(p): name for name, p in self.lightning_module.named_parameters()}
            differing = [names[id(p)] for p, *flags in zip(parameters, *everywhere, strict=True) if len(set(flags)) > 1]
            raise RuntimeError(
                f"the ranks disagree in the {phase} step about which parameters the loss reaches: "
                f"{', '.join(differing)}. A loss may not branch on what a single rank sees"
            )


if STRATEGY not in StrategyRegistry:
    StrategyRegistry.register(STRATEGY, PhaseStrategy, description="averages the gradients of the networks it steps")
