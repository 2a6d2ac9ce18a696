"""The functions of the logistic loss for numbers, to work its values by hand."""

from math import exp, log1p


def softplus(value: float) -> float:
    """log(1 + e^value): -log D of a logit -value, -log(1 - D) of a logit value."""
    return log1p(exp(value))


def sigmoid(value: float) -> float:
    """1 / (1 + e^-value): its slope."""
    return 1 / (1 + exp(-value))
