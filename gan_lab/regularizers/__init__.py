"""Further terms of a loss: penalties as functions on tensors, and beside each the term that a config names."""
