"""Contrastive losses against loops over the papers' sums, at their limits, and over ranks."""

from math import exp, log

import pytest
import torch
from torch.nn.functional import normalize

from gan_lab import collectives
from gan_lab.losses.contrastive import conditional_contrastive_loss, data_to_data_cross_entropy

LABELS = torch.tensor([0, 1, 0, 2, 1, 0])


def drawn(seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    embeddings = normalize(torch.randn(6, 4, generator=generator, dtype=torch.float64), dim=1)
    classes = normalize(torch.randn(3, 4, generator=generator, dtype=torch.float64), dim=1)
    return embeddings.float(), classes.float()[LABELS]


def naive_2c(embeddings, proxies, labels, t):
    losses = []
    for i in range(len(labels)):
        own = exp(embeddings[i] @ proxies[i] / t)
        others = {k: exp(embeddings[i] @ embeddings[k] / t) for k in range(len(labels)) if k != i}
        alike = sum(value for k, value in others.items() if labels[k] == labels[i])
        losses.append(-log((own + alike) / (own + sum(others.values()))))
    return losses


def naive_d2d(embeddings, proxies, labels, t, margin):
    losses = []
    for i in range(len(labels)):
        own = exp(min(float(embeddings[i] @ proxies[i]) - margin, 0.0) / t)
        cosines = [float(embeddings[i] @ embeddings[k]) for k in range(len(labels)) if labels[k] != labels[i]]
        losses.append(-log(own / (own + sum(exp(max(c - (1 - margin), 0.0) / t) for c in cosines))))
    return losses


@pytest.mark.parametrize("t", [0.3, 1.0])
def test_conditional_contrastive(t):
    embeddings, proxies = drawn()
    loss = conditional_contrastive_loss(embeddings, proxies, LABELS, temperature=t)
    assert loss.shape == (6,)
    assert loss.tolist() == pytest.approx(naive_2c(embeddings, proxies, LABELS, t), rel=1e-5)


@pytest.mark.parametrize(("t", "margin"), [(0.5, 0.98), (1.0, 0.4)])
def test_data_to_data(t, margin):
    embeddings, proxies = drawn()
    loss = data_to_data_cross_entropy(embeddings, proxies, LABELS, temperature=t, margin=margin)
    assert loss.tolist() == pytest.approx(naive_d2d(embeddings, proxies, LABELS, t, margin), rel=1e-5)


def test_hand_worked():
    """Two samples of two classes at right angles, each on its class: 2C = log((e + 1) / e), D2D = log((1 + 1) / 1)."""
    unit = torch.eye(2)
    labels = torch.tensor([0, 1])
    loss = conditional_contrastive_loss(unit, unit, labels, temperature=1.0)
    assert loss.tolist() == pytest.approx([log(1 + exp(-1))] * 2)
    loss = data_to_data_cross_entropy(unit, unit, labels, temperature=1.0, margin=0.98)
    assert loss.tolist() == pytest.approx([log(2)] * 2), "both sides are beyond their margins"


def test_easy_pairs_have_no_gradient():
    unit = torch.eye(2).requires_grad_()
    data_to_data_cross_entropy(unit, torch.eye(2), torch.tensor([0, 1]), temperature=1.0, margin=0.98).sum().backward()
    assert unit.grad.abs().max() == 0


def test_one_class_alone_is_finite():
    embeddings, proxies = drawn()
    same = torch.zeros(6, dtype=torch.int64)
    assert conditional_contrastive_loss(embeddings, proxies, same, temperature=1.0).tolist() == pytest.approx([0] * 6)
    given = embeddings.requires_grad_()
    loss = data_to_data_cross_entropy(given, proxies, same, temperature=1.0, margin=0.98)
    assert loss.tolist() == pytest.approx([0] * 6), "no negatives"
    loss.sum().backward()
    assert given.grad.isfinite().all()


@pytest.mark.parametrize("loss", [conditional_contrastive_loss, data_to_data_cross_entropy])
def test_ranks_hold_their_samples_against_those_of_all(loss, monkeypatch):
    embeddings, proxies = drawn()
    given = {"temperature": 0.5} | ({"margin": 0.9} if loss is data_to_data_cross_entropy else {})
    whole = loss(embeddings, proxies, LABELS, **given)
    everything = {embeddings.dtype: embeddings, LABELS.dtype: LABELS}
    monkeypatch.setattr(collectives, "gather", lambda values: everything[values.dtype])
    for rank in range(3):
        monkeypatch.setattr(collectives, "rank", lambda rank=rank: rank)
        own = slice(2 * rank, 2 * rank + 2)
        part = loss(embeddings[own], proxies[own], LABELS[own], **given)
        torch.testing.assert_close(part, whole[own])
