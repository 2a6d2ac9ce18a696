"""What an extractor may be called, since its name stands inside the names of scores."""

import re


def checked_name(name: str) -> str:
    """`name`, refused unless it is letters, digits and underscores, with a letter at either end.

    A score's name is stem, extractor and number of samples, `fd_cifar10net2k`: a digit at the end would run into the
    number.

    Raises:
        ValueError: another name.
    """
    if not re.fullmatch(r"[A-Za-z]([A-Za-z0-9_]*[A-Za-z])?", name):
        raise ValueError(
            f"an extractor's name has letters, digits and underscores, and a letter at either end, got {name!r}"
        )
    return name
