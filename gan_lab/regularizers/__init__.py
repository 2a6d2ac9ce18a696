"""Functions on tensors that penalize a network's slope."""
