"""From the terms of a loss, one per logit, to one loss per sample."""

from torch import Tensor


def per_sample(terms: Tensor) -> Tensor:
    """(B,) as it is; (B, ...) of a patch discriminator -> (B,) means over its patches."""
    return terms if terms.ndim == 1 else terms.flatten(1).mean(1)


def sum_per_sample(real_terms: Tensor, fake_terms: Tensor) -> Tensor:
    """(B,) sums of the two sides' terms.

    Raises:
        ValueError: the sides hold different numbers of samples, which broadcasting could hide.
    """
    if len(real_terms) != len(fake_terms):
        raise ValueError(
            f"a discriminator's loss pairs real and fake samples; got {len(real_terms)} and {len(fake_terms)} logits"
        )
    return per_sample(real_terms) + per_sample(fake_terms)
