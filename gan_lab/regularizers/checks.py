"""What regularizers ask of a model: each refusal names the reason and the remedy."""

from typing import Any

from torch import Tensor, nn

from gan_lab.regularizers.base import Phase, Regularizer


def refuse_batch_normalization(name: str, module: Any) -> None:
    """For penalties on D's slope at a sample, which is not the sample's own where D couples samples.

    Gulrajani et al. 2017, section 4.

    Args:
        name: of the penalty, or of the model that has it.
        module: see `Regularizer.check`.
    Raises:
        ValueError: D has batch normalization.
    """
    for part, layer in module.discriminator.named_modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            raise ValueError(
                f"{name} penalizes D's slope at each sample alone, and discriminator.{part} is batch normalization, "
                "which couples samples; set model.discriminator.normalization=layer (or none)"
            )


def refuse_lazy(regularizer: Regularizer) -> None:
    """For terms on logits or fakes of the phase itself, which a lazy step has without their graph.

    Raises:
        ValueError: `every` is more than 1.
    """
    if regularizer.every > 1:
        raise ValueError(
            f"regularizer {regularizer.name} works on what the {regularizer.group} step has computed, and a lazy step "
            f"comes after it, without its graph; set its every to 1, got {regularizer.every}"
        )


def needs_latents(regularizer: Regularizer, module: Any) -> None:
    """For terms on what the generator makes of latents.

    Raises:
        ValueError: the model has no generator of latents.
    """
    if not hasattr(module, "generator") or not hasattr(module.inputs, "latent_dim"):
        raise ValueError(
            f"regularizer {regularizer.name} needs a generator of latents, which {type(module).__name__} has not; "
            "leave the regularizer out"
        )


def needed(regularizer: Regularizer, module: Any, phase: Phase, name: str) -> Tensor:
    """`phase.<name>`.

    Raises:
        ValueError: the model has none.
    """
    value = getattr(phase, name)
    if value is None:
        raise ValueError(
            f"regularizer {regularizer.name} needs the {name} of the {regularizer.group} step, and that of "
            f"{type(module).__name__} has none; leave the regularizer out"
        )
    return value
