"""LeCam, by hand: logits 3, 4 of reals and 7, -3 of fakes, hence the first anchors 3.5 and 2."""

import pytest
import torch
from conftest import ROOT
from omegaconf import OmegaConf
from plain_gan import plain_gan, weights_after
from tiny import REAL, fit

from gan_lab.callbacks.checkpointing import Checkpointing
from gan_lab.regularizers.base import Phase
from gan_lab.regularizers.lecam import LeCam, lecam_penalty


def term(*, weight=0.1, every=1, decay=0.5, start_kimg=0.0):
    return LeCam(weight=weight, every=every, decay=decay, start_kimg=start_kimg)


def anchors(module):
    extra = module.regularizers["extra0"]
    return [extra.real_anchor.item(), extra.fake_anchor.item()]


def test_penalty():
    """Reals against the anchor of fakes: 1 and 4; fakes against that of reals: 12.25 and 42.25."""
    penalty = lecam_penalty(
        real_logits=torch.tensor([3.0, 4.0]),
        fake_logits=torch.tensor([7.0, -3.0]),
        real_anchor=torch.tensor(3.5),
        fake_anchor=torch.tensor(2.0),
    )
    assert penalty.item() == pytest.approx(2.5 + 27.25)


def test_two_steps():
    """The first makes w = (3.5, 4). Then reals are 3.5 and 4, fakes 7.5 and -3.5; the anchors become 3.625 and 2.

    The gradient is 2 * mean[1.5 (1, 0) + 2 (0, 1)] + 2 * mean[3.875 (1, 1) - 7.125 (-1, 0)] = (12.5, 5.875).
    """
    module = plain_gan(term(), d_lr=1.0)
    critic, _ = weights_after(module, images=2)
    assert critic == pytest.approx([3.5, 4.0])
    assert anchors(module) == pytest.approx([3.5, 2.0])
    assert module.take_records()["reg/lecam"] == 0.0

    module = plain_gan(term(), d_lr=1.0)
    critic, scale = weights_after(module, images=4)
    assert anchors(module) == pytest.approx([3.625, 2.0])
    assert critic == pytest.approx([3.5 + 0.5 - 1.25, 4 - 0.5875])
    assert scale == [1, 1]
    penalty = (1.5**2 + 2**2) / 2 + (3.875**2 + 7.125**2) / 2
    assert module.take_records()["reg/lecam"] == pytest.approx(penalty / 2), "the mean over both steps"


def test_it_begins_at_its_start():
    module = plain_gan(term(start_kimg=0.004), d_lr=1.0)
    critic, _ = weights_after(module, images=6)
    assert critic == pytest.approx([4.5, 4.0]), "the steps at 0, 2 and 4 images know nothing of it"
    assert anchors(module) == pytest.approx([4.0, 2.0]), "the newest means: reals 4 and 4, fakes 8 and -4"
    critic, _ = weights_after(module, images=8)
    assert critic != pytest.approx([5.0, 4.0])


def test_pieces_age_the_anchors_once():
    found = []
    for micro in (None, 2):
        module = plain_gan(term(weight=0.0), d_lr=0.1, batch_size=4, micro_batch_size=micro)
        fit(module, images=12, real=REAL.repeat(2, 1))
        found.append(anchors(module))
    assert found[0] == pytest.approx(found[1], rel=1e-5)


def test_killed_and_resumed_equals_unbroken(tmp_path):
    unbroken = plain_gan(term(), d_lr=0.01)
    fit(unbroken, images=12)
    saving = Checkpointing(every_kimg=None, keep=1, keep_snapshots=None)
    saving.config = {}
    fit(first := plain_gan(term(), d_lr=0.01), images=6, callbacks=[saving], folder=tmp_path)
    resumed = plain_gan(term(), d_lr=0.01)
    fit(resumed, images=12, resume=tmp_path / "checkpoints" / "000000000006.ckpt")
    assert anchors(first) != anchors(resumed) == anchors(unbroken)
    assert torch.equal(resumed.discriminator.weight, unbroken.discriminator.weight)


def test_refusals():
    with pytest.raises(ValueError, match=r"lecam works on what the discriminator step has computed.*every to 1, got 4"):
        weights_after(plain_gan(term(every=4)))
    with pytest.raises(ValueError, match=r"decay must be in \[0, 1\), got 1"):
        term(decay=1.0)
    with pytest.raises(ValueError, match="start_kimg must be 0 or more, got -1"):
        term(start_kimg=-1.0)
    module = plain_gan()
    with pytest.raises(ValueError, match="lecam needs the fake_logits of the discriminator step, and that of WGAN has"):
        term()(module, Phase(real_logits=torch.zeros(2)))


def test_it_begins_where_studiogans_does():
    """1,000 steps of G, each with 5 critic steps of 64 images: 320 thousand."""
    assert OmegaConf.load(ROOT / "conf" / "regularizer" / "lecam.yaml").start_kimg == 1000 * 5 * 64 / 1000
