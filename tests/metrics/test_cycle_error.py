"""What goes there and back: through translators that undo each other, and through one that hides its source."""

import pytest
import torch
from translated import Finding, Hiding, Negative, random_pictures, scored, there_and_back

from gan_lab.metrics.cycle_error import CycleError


def error(intermediate="exact", noise_levels=1.0):
    return CycleError(intermediate=intermediate, noise_levels=noise_levels)


def test_what_undoes_itself_has_no_error_and_hides_nothing():
    """Noise comes back as it went: of 4 levels, 4 * sqrt(2 / pi) on average, and 16 squared."""
    block = there_and_back(torch.full((4, 1, 64, 64), 100, dtype=torch.uint8), Negative(), Negative())
    for intermediate in ("exact", "rounded"):
        assert scored(error(intermediate), block) == {"": 0.0, "_worst": 0.0, "_psnr": 100.0}
    found = scored(error("noisy", 4), block)
    assert found[""] == pytest.approx(4 * (2 / torch.pi) ** 0.5 / 255, rel=0.02)
    assert found["_psnr"] == pytest.approx(-10 * torch.tensor(16 / 255**2).log10().item(), abs=0.1)


def test_a_source_that_is_hidden_is_lost_with_the_low_bits():
    """The exact way back finds it. Of 8 bits comes grey: 128, 127, 77 and 76 levels off, and 127 in the next one."""
    sources = torch.tensor([[0, 255, 51, 204], [255] * 4, [7] * 4], dtype=torch.uint8).view(3, 1, 2, 2)
    block = there_and_back(sources, Hiding(), Finding(), count=2)
    assert scored(error(), block) == {"": 0.0, "_worst": 0.0, "_psnr": 100.0}
    metric = error("rounded")
    found = scored(metric, block)
    assert metric.per_picture().tolist() == pytest.approx([102 / 255, 127 / 255])
    squared = torch.tensor([(128**2 + 127**2 + 77**2 + 76**2) / 4, 127**2]) / 255**2
    psnr = -10 * squared.log10().mean().item()
    assert found == pytest.approx({"": 229 / 510, "_worst": 127 / 255, "_psnr": psnr}, rel=1e-6)
    assert scored(error("noisy"), block)[""] > 0.2


def test_noise_belongs_to_a_source_whatever_block_it_is_in():
    sources = random_pictures(5, 1, 4, 4, seed=0)
    metric = error("noisy")
    whole = metric.probe(there_and_back(sources, Negative(), Negative(), first=10))
    parts = [
        metric.probe(there_and_back(sources[part], Negative(), Negative(), first=10 + part.start))
        for part in (slice(0, 2), slice(2, 5))
    ]
    assert torch.equal(torch.cat(parts), whole)
    assert not torch.equal(metric.probe(there_and_back(sources, Negative(), Negative(), first=11)), whole)


def test_names_and_protocols_tell_what_went_back():
    metrics = [error(), error("rounded"), error("noisy"), error("noisy", 2.5)]
    names = ["cycle_error", "cycle_error_rounded", "cycle_error_noise1", "cycle_error_noise2.5"]
    assert [metric.name for metric in metrics] == names
    about = [(metric.protocol()["intermediate"], metric.protocol()["noise_levels"]) for metric in metrics]
    assert about == [("exact", None), ("rounded", None), ("noisy", 1.0), ("noisy", 2.5)]


def test_what_cannot_be_scored():
    with pytest.raises(ValueError, match="intermediate must be one of exact, rounded, noisy, got 'round'"):
        error("round")
    with pytest.raises(ValueError, match="noise_levels are of 255, more than 0 and at most 255, got 0"):
        error("noisy", 0)
    block = there_and_back(
        random_pictures(2, 1, 4, 4, seed=0), Negative(), lambda condition: condition.repeat(1, 3, 1, 1)
    )
    with pytest.raises(ValueError, match=r"sources are \(1, 4, 4\), and \(3, 4, 4\) comes back of them"):
        error().probe(block)
