"""Batch norm over ranks equals batch norm of the whole batch on one process, to the second derivative."""

import pytest
import torch
from torch import nn

from gan_lab import collectives
from gan_lab.layers.normalization import synchronize_batch_norms

SHAPES = {nn.BatchNorm1d: (8, 3), nn.BatchNorm2d: (8, 3, 4, 5), nn.BatchNorm3d: (4, 3, 2, 2, 2)}


def case(kind: type, momentum: float | None, affine: bool) -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    layer = kind(3, momentum=momentum, affine=affine).double()
    if affine:
        nn.init.normal_(layer.weight)
        nn.init.normal_(layer.bias)
    return layer, 2 * torch.randn(SHAPES[kind], dtype=torch.float64) + 1


def penalized(layer: nn.Module, values: torch.Tensor) -> dict[str, torch.Tensor]:
    """Output, slope of a function of it, and the parameters' gradients of that slope's square."""
    values = values.clone().requires_grad_()
    output = layer(values)
    (slope,) = torch.autograd.grad(output.pow(3).sum(), values, create_graph=True)
    parameters = list(layer.parameters())
    found = {"output": output.detach(), "slope": slope.detach()}
    if parameters:
        gradients = torch.autograd.grad(slope.square().sum(), parameters)
        found |= {f"gradient{i}": gradient for i, gradient in enumerate(gradients)}
    return found | {name: buffer.double() for name, buffer in layer.named_buffers()}


def on_a_rank(kind: type, momentum: float | None, affine: bool) -> dict[str, torch.Tensor]:
    layer, values = case(kind, momentum, affine)
    synchronize_batch_norms(layer)
    share = values.chunk(collectives.world())[collectives.rank()]
    found = {}
    for _ in range(2):
        found = penalized(layer, share)
    return found


@pytest.mark.parametrize("kind", SHAPES, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(("momentum", "affine"), [(0.1, True), (None, True), (0.3, False)])
def test_equals_the_whole_batch(kind, momentum, affine, pair):
    layer, values = case(kind, momentum, affine)
    whole: dict[str, torch.Tensor] = {}
    for _ in range(2):
        whole = penalized(layer, values)
    ranks = pair(on_a_rank, kind, momentum, affine)
    for name, value in whole.items():
        if name in ("output", "slope"):
            found = torch.cat([rank[name] for rank in ranks])
        elif name.startswith("gradient"):  # each rank has its samples' part of the sum
            found = sum(rank[name] for rank in ranks)
        else:
            assert torch.equal(ranks[0][name], ranks[1][name]), name
            found = ranks[0][name]
        torch.testing.assert_close(found, value, rtol=1e-10, atol=1e-10, msg=lambda text, name=name: f"{name}: {text}")


def second_derivative(_: None) -> bool:
    """Inputs are means over (equal) inputs and outputs are gathered: a function whose derivatives torch can check."""
    layer = nn.BatchNorm2d(2).double()
    synchronize_batch_norms(layer)
    torch.manual_seed(1)
    values = torch.randn(4, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, dtype=torch.float64, requires_grad=True)
    rank, world = collectives.rank(), collectives.world()

    def function(values: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        share = collectives.mean(values).chunk(world)[rank]
        normalized = layer(share) * collectives.mean(weight).view(1, 2, 1, 1)
        return collectives.gather(normalized) ** 2

    return torch.autograd.gradcheck(function, (values, weight)) and torch.autograd.gradgradcheck(
        function, (values, weight)
    )


def test_gradgradcheck(pair):
    assert pair(second_derivative, None) == [True, True]


def half(_: None) -> tuple[torch.dtype, float]:
    layer = nn.BatchNorm1d(3)
    synchronize_batch_norms(layer)
    torch.manual_seed(2)
    output = layer(torch.randn(8, 3).bfloat16())
    return output.dtype, float(output.float().mean().abs())


def test_keeps_half_precision(pair):
    for dtype, mean in pair(half, None):
        assert dtype == torch.bfloat16
        assert mean < 0.5


def test_eval_mode_and_one_process_are_those_of_torch():
    for kind in SHAPES:
        plain, values = case(kind, 0.1, True)
        ours, _ = case(kind, 0.1, True)
        synchronize_batch_norms(ours)
        assert isinstance(ours, kind)
        for training in (True, False):
            plain.train(training)
            ours.train(training)
            assert torch.equal(plain(values), ours(values))


# What stands beside it --------------------------------------------------------------------------------------------


def words(rank_says: str) -> dict:
    rank, world = collectives.rank(), collectives.world()
    tensors = [torch.full((3,), float(rank)), torch.full((2, 2), float(rank), dtype=torch.float64)]
    collectives.average_(tensors)
    sent = [torch.full((3,), float(rank + 1)), torch.tensor(rank + 5)]
    collectives.broadcast_(sent)
    raised = ""
    try:
        collectives.from_first_rank(lambda: 1 / 0)
    except ZeroDivisionError as error:
        raised = str(error)
    return {
        "averaged": [tensor.tolist() for tensor in tensors],
        "sent": [tensor.tolist() for tensor in sent],
        "gathered": collectives.gather(torch.tensor([[rank, world]])).tolist(),
        "objects": collectives.gather_objects(f"{rank_says} {rank}"),
        "highest": collectives.highest(rank * 3),
        "first": collectives.from_first_rank(lambda: f"from {rank}"),
        "raised": raised,
    }


def test_collectives(pair):
    for rank, found in enumerate(pair(words, "says")):
        assert found["averaged"] == [[0.5] * 3, [[0.5, 0.5], [0.5, 0.5]]]
        assert found["sent"] == [[1.0] * 3, 5]
        assert found["gathered"] == [[0, 2], [1, 2]]
        assert found["objects"] == (["says 0", "says 1"] if rank == 0 else None)
        assert found["highest"] == 3
        assert found["first"] == "from 0"
        assert "division" in found["raised"]


def in_turn(folder: str) -> None:
    rank = collectives.rank()
    with collectives.first_ranks_first(local_rank=rank), open(f"{folder}/order", "a") as file:
        file.write(str(rank))


def test_the_first_rank_goes_first(pair, tmp_path):
    pair(in_turn, str(tmp_path))
    assert (tmp_path / "order").read_text() == "01"


def test_buckets_are_of_one_type_and_bounded(monkeypatch):
    monkeypatch.setattr(collectives, "BUCKET_BYTES", 16)
    tensors = [torch.zeros(3), torch.zeros(2, dtype=torch.float64), torch.zeros(3), torch.zeros(1)]
    found = [[tensor.numel() for tensor in bucket] for bucket in collectives.buckets(tensors)]
    assert found == [[3, 3], [1], [2]]
