"""Auxiliary classifier GAN, worked by hand: see `labelled.py`. The classifier's logits are x_1 and 2 x_2."""

import pytest
import torch
from hydra.utils import instantiate
from labelled import FAKE, FAKE_LABELS, REAL, REAL_LABELS, assert_regularizers_are_told, module_of, step_once
from logistic import softplus
from test_every_model import chosen_config
from tiny import train_on
from torch import nn

from gan_lab.models.acgan import ACGAN

W, S = torch.tensor([3.0, 4.0]), torch.tensor([0.1, 2.0])
CLASSIFIER = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
LATENTS = torch.tensor([[1.0, 1.0], [-1.0, 0.0]])


def linear(features: int) -> nn.Module:
    layer = nn.Linear(features, 2, bias=False)
    layer.weight.data = CLASSIFIER.clone()
    return layer


def module(**changes):
    return module_of(ACGAN, classifier=linear, **{"real_target": 1.0} | changes)


def test_losses_and_accuracies():
    """Class logits (1, 0) and (0, 2) of reals of classes 0 and 1; (1, 0) and (-1, 0) of fakes of classes 1 and 0."""
    one = module()
    assert_regularizers_are_told(step_once(one))
    records = one.take_records()
    assert records["loss/d"] == pytest.approx((softplus(-0.3) + softplus(-8) + softplus(6) + softplus(-0.3)) / 2)
    assert records["loss/g"] == pytest.approx((softplus(-6) + softplus(0.3)) / 2)
    assert records["loss/classes_d"] == pytest.approx((softplus(-1) + softplus(-2)) / 2 + softplus(1))
    assert records["loss/classes_g"] == pytest.approx(softplus(1))
    assert records["accuracy/real"] == 1
    assert records["accuracy/fake"] == 0


def log_share(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Log of the softmax's share of each label."""
    return torch.stack([row[label] - row.exp().sum().log() for row, label in zip(logits, labels, strict=True)])


def test_d_and_its_classifier_climb_both_sums():
    """L_S + L_C by their equations, differentiated by autograd."""
    one = module(d_lr=1.0)
    step_once(one)
    w, classifier = W.clone().requires_grad_(), CLASSIFIER.clone().requires_grad_()
    real = torch.sigmoid(S[REAL_LABELS] * (REAL @ w)).log() + log_share(REAL @ classifier.T, REAL_LABELS)
    fake = (1 - torch.sigmoid(S[FAKE_LABELS] * (FAKE @ w))).log() + log_share(FAKE @ classifier.T, FAKE_LABELS)
    (real.mean() + fake.mean()).backward()
    torch.testing.assert_close(one.discriminator.weight, W + w.grad)
    torch.testing.assert_close(one.classifier.weight, CLASSIFIER + classifier.grad)


def test_g_climbs_the_class_term_too():
    one = module(g_lr=1.0)
    step_once(one)
    shift = torch.tensor([[0.0, 0.0], [0.0, -1.0]], requires_grad=True)
    fake = LATENTS + shift[FAKE_LABELS]
    source = torch.sigmoid(S[FAKE_LABELS] * (fake @ W)).log()
    (source.mean() + log_share(fake @ CLASSIFIER.T, FAKE_LABELS).mean()).backward()
    torch.testing.assert_close(one.generator.shift.data, shift.data + shift.grad)


def test_smoothed_labels_of_reals():
    one = module(real_target=0.9)
    step_once(one)
    plain = (softplus(-0.3) + softplus(-8) + softplus(6) + softplus(-0.3)) / 2
    assert one.take_records()["loss/d"] == pytest.approx(plain + 0.1 * (0.3 + 8) / 2)


def test_the_head_learns_the_classes_of_digits():
    """Ten classes, a tenth at random."""
    config = chosen_config("acgan")
    torch.manual_seed(0)
    data = instantiate(config.data, batch_size=64, _convert_="all")
    one = instantiate(config.model, batch_size=64, generator_batch_size=64, _convert_="all")
    for factory in one.optimizer_factories.values():
        factory.keywords["lr"] = 2e-3
    train_on(one, data, iterations=60)
    one.take_records()
    train_on(one, data, iterations=80)
    assert one.take_records()["accuracy/real"] > 0.8
