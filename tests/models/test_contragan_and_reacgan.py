"""The class terms of ContraGAN and ReACGAN are those of the batch in each phase, and the embedding learns with D."""

import pytest
import torch
from hydra.utils import instantiate
from test_every_model import built, chosen_config
from tiny import train_on

from gan_lab.losses.contrastive import conditional_contrastive_loss, data_to_data_cross_entropy
from gan_lab.networks.embeddings import ClassEmbedding

MODELS = {
    "contragan": ("contrastive", lambda module, *e: conditional_contrastive_loss(*e, temperature=1.0)),
    "reacgan": ("class", lambda module, *e: data_to_data_cross_entropy(*e, temperature=0.5, margin=0.98)),
}


@pytest.mark.parametrize("model", list(MODELS))
def test_the_terms_of_both_phases(model):
    name, loss = MODELS[model]
    module, data = built(model)
    module.n_critic, seen = 1, []
    module.embedding.register_forward_hook(lambda _, given, made: seen.append((*made, given[1])))
    train_on(module, data, iterations=1)
    records = module.take_records()
    assert len(seen) == 2, "reals in D's phase, fakes in G's"
    assert records[f"loss/d_{name}"] == pytest.approx(loss(module, *seen[0]).mean().item(), rel=1e-5)
    assert records[f"loss/g_{name}"] == pytest.approx(loss(module, *seen[1]).mean().item(), rel=1e-5)
    for embeddings, proxies, labels in seen:
        torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(16))
        torch.testing.assert_close(proxies.norm(dim=1), torch.ones(16))
        assert labels.max() < 10


@pytest.mark.parametrize(
    ("model", "changes", "message"),
    [
        ("contragan", {"temperature": 0.0}, "temperature > 0, got 1.0 and 0.0"),
        ("contragan", {"contrastive_weight": -1.0}, "got -1.0 and 1.0"),
        ("reacgan", {"margin": 1.5}, r"margin in \[0, 1\], got 0.5, 0.5 and 1.5"),
        ("contragan", {"num_classes": None}, "a conditional model needs num_classes of 2 or more, got None"),
    ],
)
def test_refusals(model, changes, message):
    with pytest.raises(Exception, match=message):
        instantiate(chosen_config(model).model, **changes)


def test_proxies_begin_orthonormal():
    """As StudioGAN's: of length 1, where torch's N(0, 1) have sqrt(512); Adam turns them by so much more."""
    embedding = ClassEmbedding(6, width=512, num_classes=10, normalization="spectral", initialization="xavier")
    proxies = embedding.proxies.weight.detach()
    torch.testing.assert_close(proxies @ proxies.T, torch.eye(10), rtol=1e-4, atol=1e-4)


def test_adam_turns_proxies_by_its_rate():
    """A first step of 0.01 in each of 16 numbers of a vector of length 1, at a right angle: tan = 0.01 * sqrt(16)."""
    torch.manual_seed(0)
    embedding = ClassEmbedding(6, width=16, num_classes=3, normalization="none", initialization="xavier")
    before = embedding.proxies.weight.detach().clone()
    optimizer = torch.optim.Adam([embedding.proxies.weight], lr=0.01)
    features, labels = torch.randn(3, 6), torch.arange(3)
    samples, proxies = embedding(features, labels)
    (samples.detach() * proxies).sum().backward()
    optimizer.step()
    cosines = torch.cosine_similarity(before, embedding.proxies.weight.detach(), dim=1)
    assert cosines.arccos().tan().tolist() == pytest.approx([0.04] * 3, rel=0.35)
