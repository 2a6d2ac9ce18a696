"""Whether two runs ended with the same bits."""

import hashlib
from pathlib import Path
from typing import Any

import torch


def digest(value: Any) -> str:
    """Twelve hexadecimal digits that stand for nested plain values and tensors, every bit of them."""
    found = hashlib.sha256()

    def feed(part: Any) -> None:
        if isinstance(part, torch.Tensor):
            found.update(f"{part.dtype}{tuple(part.shape)}".encode())
            found.update(part.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        elif isinstance(part, dict):
            for key in sorted(part, key=str):
                found.update(str(key).encode())
                feed(part[key])
        elif isinstance(part, (list, tuple)):
            for one in part:
                feed(one)
        else:
            found.update(repr(part).encode())

    feed(value)
    return found.hexdigest()[:12]


def final_digest(run: Path) -> str:
    """The digest of all that training has come to: networks, averages, optimizers, schedules and counters."""
    checkpoint = torch.load(max((run / "checkpoints").glob("[0-9]*.ckpt")), weights_only=True)
    # What follows depends on where the run lies, on Lightning's own counting, or on the clock.
    return digest({k: v for k, v in checkpoint.items() if k not in ("config", "versions", "run", "loops", "callbacks")})
