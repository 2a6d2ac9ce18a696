"""A distance in the features of a network that looks on: part of a loss, and of nothing that is trained or stored."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gan_lab import collectives
from gan_lab.losses.features import feature_distance


class FeatureDistance:
    """mean |F(y) - F(G(x))| in the maps F of an extractor, which is frozen; the gradient goes through it to G.

    It is no module: the extractor belongs to neither the model's parameters nor its checkpoints. Its weights are looked
    for when training begins, so that a model is built, and its generator loaded, without them.

    Args:
        extractor: makes it, see `gan_lab.extractors.base.Extractor.differentiable`.
    """

    def __init__(self, extractor: Callable[[], Any]) -> None:
        if not callable(extractor):
            raise ValueError(
                "model.perceptual must be a node with _target_ and _partial_: true, as "
                f"extractor@model.perceptual=vgg19 gives, or null for none; got {extractor!r}"
            )
        self._make = extractor
        self._extractor: Any = None

    def prepare(self, like: Tensor, local_rank: int) -> None:
        """Load the extractor to where `like` is and to its precision, and try it on `like`, on every rank.

        Args:
            like: (B, C, H, W) pictures as they will be compared.
            local_rank: of this process among those of its machine: rank 0 fetches what is to be fetched.
        Raises:
            ValueError: its weights are missing or damaged, or it has no maps of such pictures; with the remedy.
        """

        def load() -> None:
            extractor = self._make()
            self._extractor = extractor.to(device=like.device, dtype=torch.promote_types(like.dtype, torch.float32))
            self._extractor.differentiable(like)

        loaded_on_every_rank(
            load,
            local_rank,
            "model.perceptual cannot be computed",
            "Another extractor: extractor@model.perceptual=classifier, say; without the term: model.perceptual=null",
        )

    def __call__(self, *, real: Tensor, fake: Tensor) -> Tensor:
        """(B,) of targets and what was made of their sources, (B, C, H, W) each."""
        with torch.no_grad():
            real_maps = self._extractor.differentiable(real)
        return feature_distance(real_maps=real_maps, fake_maps=self._extractor.differentiable(fake))


def loaded_on_every_rank(load: Callable[[], Any], local_rank: int, what: str, remedy: str) -> None:
    """Load an extractor on every rank, the first of each machine before the others.

    Args:
        load: does so, and tries it.
        local_rank: of this process among those of its machine: rank 0 fetches what is to be fetched.
        what: cannot be done without it, for the message.
        remedy: in a sentence.
    Raises:
        ValueError: on every rank, where on any its weights are missing or damaged, or it has no maps of such pictures.
    """
    problem: Exception | None = None
    with collectives.first_ranks_first(local_rank):
        try:
            load()
        except (OSError, ValueError, RuntimeError) as error:
            problem = error
    told = collectives.broadcast_object(collectives.gather_objects(None if problem is None else str(problem)))
    reasons = [reason for reason in told if reason is not None]
    if reasons:
        raise ValueError(f"{what}: {reasons[0]}. {remedy}") from problem
