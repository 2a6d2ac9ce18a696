"""How far what goes there and back through a translator is from the source, also where it is disturbed in between."""

from typing import Any

import torch
from torch import Tensor

from gan_lab.data.images import from_uint8, to_uint8
from gan_lab.metrics.base import Block, BlockMetric
from gan_lab.metrics.moments import finite_matrix
from gan_lab.metrics.psnr import CAP, peak_signal_to_noise
from gan_lab.sampling import normal_of_samples

INTERMEDIATE = ("exact", "rounded", "noisy")


class CycleError(BlockMetric):
    """Mean absolute difference in [0, 1] of each source a and what comes back of it, F(G(a)), as a picture of 8 bits.

    "" is the mean over pictures, "_worst" the largest, "_psnr" the mean of the pictures' own PSNR in dB (see
    `peak_signal_to_noise`). A generator may learn to hide its source in its output, below what is seen, so that the way
    back finds it there (Chu et al. 2017, "CycleGAN, a Master of Steganography"): then the exact error is small, and
    much larger where G(a) was rounded or given slight noise. The name tells what was done: `cycle_error_rounded`,
    `cycle_error_noise1`.

    Args:
        intermediate: how G(a) goes back: "exact", as the network gives it; "rounded" to 256 levels, as a file holds it;
            "noisy", exact with independent normal noise on each value, a function of (seed, number of the source).
        noise_levels: standard deviation of that noise in levels of 255, more than 0; otherwise of no effect.
        extractor: see `BlockMetric`; it has no part.
    Raises:
        ValueError: a value out of range.
    """

    name = "cycle_error"
    higher_is_better = False
    needs = ("probe",)
    probe_needs = ("samples", "sources", "network_back")
    in_space = False
    uses_reference = False
    needs_network = True
    intervals = True
    of_each = True
    minimum = 1

    def __init__(self, *, intermediate: str, noise_levels: float, extractor: str | None = None) -> None:
        super().__init__(extractor)
        if intermediate not in INTERMEDIATE:
            raise ValueError(f"intermediate must be one of {', '.join(INTERMEDIATE)}, got {intermediate!r}")
        if not 0 < noise_levels <= 255:
            raise ValueError(f"noise_levels are of 255, more than 0 and at most 255, got {noise_levels}")
        self.intermediate, self.noise_levels = intermediate, float(noise_levels)
        marks = {"exact": "", "rounded": "_rounded", "noisy": f"_noise{self.noise_levels:g}"}
        self.name = self.name + marks[intermediate]

    def protocol(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "metric": self.name,
            "intermediate": self.intermediate,
            "noise_levels": self.noise_levels if self.intermediate == "noisy" else None,
            "range": "uint8 as [0, 1]",
            "mean": "over pictures",
            "identical": f"{CAP:g} dB, the most",
        }

    @torch.no_grad()
    def probe(self, block: Block) -> Tensor:
        """(B, 2) float64 of the samples that count: mean absolute and mean squared error of what came back.

        Raises:
            ValueError: what comes back has not the shape of the sources.
        """
        assert block.network_back is not None  # says the stage, of all that `probe_needs` names
        assert block.sources is not None
        back = to_uint8(block.network_back(condition=self._between(block)))[: block.count].cpu()
        sources = block.sources[: block.count].cpu()
        if back.shape != sources.shape:
            raise ValueError(f"sources are {tuple(sources.shape[1:])}, and {tuple(back.shape[1:])} comes back of them")
        # A picture at a time: the float64 of a block of large ones would not fit beside the networks.
        errors = ((one.double() - source.double()).abs() / 255 for one, source in zip(back, sources, strict=True))
        return torch.stack([torch.stack([error.mean(), error.square().mean()]) for error in errors])

    def _between(self, block: Block) -> Tensor:
        """(B, C, H, W) in [-1, 1] on the device: what is sent back."""
        assert block.samples is not None
        if self.intermediate == "rounded":
            return from_uint8(block.images).to(block.samples)
        if self.intermediate == "exact":
            return block.samples
        index = range(block.first, block.first + len(block.samples))
        noise = normal_of_samples(block.draws.seed, "cycle noise", index, block.samples.shape[1:])
        return block.samples + self.noise_levels / 127.5 * noise.to(block.samples)

    def per_picture(self) -> Tensor:
        """(N,) float64: mean absolute error of each; see `BlockMetric`."""
        return self.values("probe")[:, 0].double()

    def compute(self) -> dict[str, float]:
        """Of all pictures so far."""
        errors, squared = finite_matrix(self.values("probe"), "cycle errors", minimum=1).unbind(dim=1)
        psnr = peak_signal_to_noise(squared).mean().item()
        return {"": errors.mean().item(), "_worst": errors.max().item(), "_psnr": psnr}
