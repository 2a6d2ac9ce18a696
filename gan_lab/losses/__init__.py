"""Functions from logits to a loss per sample, a file per family."""
