"""The contrast of patches of two pictures at the same places (Park et al. 2020, section 3, equation 3)."""

import torch
from torch import Tensor


def patch_contrast(queries: Tensor, keys: Tensor, *, temperature: float) -> Tensor:
    """Cross-entropy of finding, for each patch of one picture, that of the other at the same place among all of it.

    Args:
        queries: (B, S, C) of norm 1, at S places each.
        keys: likewise, of the pictures that they belong to; taken as they are, without gradients.
        temperature: more than 0 (paper: 0.07).
    Returns:
        (B,) float32 means over the places.
    """
    logits = torch.einsum("bqc,bkc->bqk", queries.float(), keys.detach().float()) / temperature
    return -logits.log_softmax(2).diagonal(dim1=1, dim2=2).mean(1)
