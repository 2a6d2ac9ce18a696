"""LOGAN, worked by hand: D(G(z)) = w . (a z) with w = (3, 4) and a = (1, 1), so that g = (3, 4) at every z."""

import pytest
import torch
from tiny import fit, fix_latents, settings

from gan_lab.models.logan import LOGAN

SMALL = torch.tensor([[0.1, 0.2], [-0.3, 0.0]])


def logan(**changes) -> LOGAN:
    own = {"step_size": 2.5, "damping": 25.0, "optimized_share": 1.0, "step_weight": 0.0}
    own |= {key: changes.pop(key) for key in list(changes) if key in own}
    module = LOGAN(**own, **settings(latent_distribution="uniform", **changes))
    fix_latents(module, SMALL)
    return module


def test_losses():
    """dz = 2.5 g / (25 + 25) = (0.15, 0.2), so D(G(z')) is 0.25 * 3 + 0.4 * 4 and -0.15 * 3 + 0.2 * 4."""
    module = logan()
    fit(module, images=2)
    records = module.take_records()
    first, second = 0.25 * 3 + 0.4 * 4, -0.15 * 3 + 0.2 * 4
    assert records["logits/fake"] == pytest.approx((first + second) / 2)
    assert records["loss/d"] == pytest.approx(((1 + first) + (1 + second)) / 2, rel=1e-5)
    assert records["loss/g"] == pytest.approx(-(first + second) / 2)
    assert records["latents/move"] == pytest.approx(0.15**2 + 0.2**2)


def test_both_steps_differentiate_through_the_move():
    """f(z') = w . a (z + dz) with dz = alpha w a / (beta + |w a|^2): its slopes by hand, against autograd's own."""
    module = logan(d_lr=1.0, g_lr=1.0)
    fit(module, images=2)
    w, a = torch.tensor([3.0, 4.0], requires_grad=True), torch.ones(2, requires_grad=True)

    def scores():
        step = 2.5 * (w * a) / (25.0 + (w * a).square().sum())
        return (a * (SMALL + step)) @ w

    (slope,) = torch.autograd.grad((1 + scores()).mean(), w)
    torch.testing.assert_close(module.discriminator.weight.detach(), w.detach() - slope)
    with torch.no_grad():
        w -= slope
    (slope,) = torch.autograd.grad(-scores().mean(), a)
    torch.testing.assert_close(module.generator.scale.detach(), a.detach() - slope)
    plain = -(SMALL @ module.discriminator.weight.detach()).mean()
    assert plain != -scores().mean()


def test_steps_are_clipped_and_shared_out():
    module = logan(step_size=1000.0)
    fit(module, images=2)
    moved, _ = module.moved(SMALL)
    assert moved.tolist() == [[1, 1], [1, 1]]
    module.optimized_share = 0.5
    many = torch.zeros(4000, 2)
    moved, _ = module.moved(many)
    assert (moved != 0).any(1).float().mean().item() == pytest.approx(0.5, abs=0.03)
    module.optimized_share = 0.0
    assert torch.equal(module.moved(SMALL)[0], SMALL)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"step_size": -1.0}, r"step_size >= 0.* got -1.0, 25.0, 1.0 and 0.0"),
        ({"damping": 0.0}, "damping > 0"),
        ({"optimized_share": 1.1}, r"optimized_share in \[0, 1\]"),
        ({"step_weight": -1.0}, "step_weight >= 0"),
    ],
)
def test_refusals(changes, message):
    with pytest.raises(ValueError, match=message):
        logan(**changes)


def test_normal_latents_are_refused():
    with pytest.raises(ValueError, match="must be uniform; got latent_distribution='normal'"):
        LOGAN(step_size=1.0, damping=1.0, optimized_share=1.0, step_weight=0.0, **settings())
