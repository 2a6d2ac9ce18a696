"""Losses that hold samples of a batch against each other and against vectors that stand for the classes.

All embeddings have unit length. The batch is that of all ranks: what one process holds against its own samples, several
hold against each other's.
"""

import torch
from torch import Tensor

from gan_lab import collectives
from gan_lab.layers.precision import full_precision


def conditional_contrastive_loss(embeddings: Tensor, proxies: Tensor, labels: Tensor, *, temperature: float) -> Tensor:
    """The 2C loss of ContraGAN (Kang and Park 2020, equation 8).

    Drawn together are a sample, the vector of its class, and samples of its class; apart, it and all other samples.

    Args:
        embeddings: (B, E) of unit length.
        proxies: (B, E) of unit length: the vector of each sample's class.
        labels: (B,) int64.
        temperature: t, more than 0.
    Returns:
        (B,) float32, or float64 of float64 embeddings.
    """
    with_others, same_class, themselves = _against_all(embeddings, labels, temperature)
    to_class = (full_precision(embeddings) * full_precision(proxies)).sum(1, keepdim=True) / temperature
    positives = with_others.masked_fill(~same_class | themselves, -torch.inf)
    attraction = torch.cat([to_class, positives], dim=1).logsumexp(1)
    everything = torch.cat([to_class, with_others.masked_fill(themselves, -torch.inf)], dim=1).logsumexp(1)
    return everything - attraction


def data_to_data_cross_entropy(
    embeddings: Tensor, proxies: Tensor, labels: Tensor, *, temperature: float, margin: float
) -> Tensor:
    """The D2D-CE loss of ReACGAN (Kang et al. 2021, equation 7).

    Drawn together are a sample and the vector of its class, until their cosine is `margin`; apart, it and the samples
    of other classes, until theirs is 1 - `margin`: beyond these, easy pairs have no gradient. (The paper has a margin
    for each; one number for both follows the authors' settings.)

    Departure of StudioGAN, not followed here: for numerical stability, which a log-sum-exp has anyway, it divides the
    negatives, but not the positive, by the exponential of the row's maximum. Equation 7 has no such factor. Its loss is
    20 to 30 % lower; its gradient has the same direction and 0.95 to 1 of the length at CIFAR-10's settings, 0.79 at a
    temperature of 0.25.

    Args:
        embeddings: (B, E) of unit length.
        proxies: (B, E) of unit length: the vector of each sample's class.
        labels: (B,) int64.
        temperature: tau, more than 0.
        margin: m_p, in [0, 1].
    Returns:
        (B,) float32, or float64 of float64 embeddings.
    """
    cosines, same_class, _ = _against_all(embeddings, labels, 1.0)
    to_class = (full_precision(embeddings) * full_precision(proxies)).sum(1, keepdim=True)
    positive = (to_class - margin).clamp(max=0) / temperature
    negatives = (cosines - (1 - margin)).clamp(min=0) / temperature
    everything = torch.cat([positive, negatives.masked_fill(same_class, -torch.inf)], dim=1).logsumexp(1)
    return everything - positive.squeeze(1)


def _against_all(embeddings: Tensor, labels: Tensor, temperature: float) -> tuple[Tensor, Tensor, Tensor]:
    """Of this rank's samples with those of all, (B, M): cosines over t, who is of one class, and who is the same."""
    embeddings = full_precision(embeddings)
    everyone, their_labels = collectives.gather(embeddings), collectives.gather(labels)
    own = torch.arange(len(labels), device=labels.device) + collectives.rank() * len(labels)
    themselves = own[:, None] == torch.arange(len(their_labels), device=labels.device)
    return embeddings @ everyone.T / temperature, labels[:, None] == their_labels, themselves
