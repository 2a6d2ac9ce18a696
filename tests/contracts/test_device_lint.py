"""No line of a training step waits for the device or makes tensors beside it, as far as the source tells."""

import pytest
from conftest import ROOT
from device_lint import findings

ROOMS = ("models", "losses", "regularizers", "augment", "layers")
FILES = sorted(
    path.relative_to(ROOT / "gan_lab").as_posix() for room in ROOMS for path in (ROOT / "gan_lab" / room).rglob("*.py")
)
ALLOWED = {  # (file, function) -> why
    ("models/base.py", "GenerativeModule.take_records"): "curves are read at intervals, not at every step",
    (
        "models/base.py",
        "GenerativeModule.check_finite",
    ): "the one place that waits, before rows, scores and checkpoints",
    ("models/base.py", "GenerativeModule._records_of_all_ranks"): "of a checkpoint",
    ("models/base.py", "GenerativeModule.on_load_checkpoint"): "of a checkpoint",
    ("models/perceptual.py", "FeatureDistance.prepare"): "once, before training",
    ("augment/geometry.py", "_doubling"): "made once for each size of picture, and sent page-locked",
    ("augment/geometry.py", "_halving"): "made once for each size of picture, and sent page-locked",
    ("augment/filtering.py", "_bands"): "made once for each size of picture, and sent page-locked",
}


@pytest.mark.parametrize("file", FILES)
def test_no_line_waits_for_the_device(file):
    found = findings((ROOT / "gan_lab" / file).read_text())
    assert [finding for finding in found if (file, finding.function) not in ALLOWED] == []


def test_every_exception_is_needed():
    needed = {
        (file, found.function) for file, _ in ALLOWED for found in findings((ROOT / "gan_lab" / file).read_text())
    }
    assert ALLOWED.keys() <= needed


@pytest.mark.parametrize(
    "line",
    [
        "x.mean().item()",
        "x.cpu()",
        "other.tolist()",
        "x.detach().numpy()",
        "x.nonzero()",
        "torch.nonzero(x)",
        "torch.where(x > 0)",
        "torch.equal(x, y)",
        "x.unique()",
        "bool(x.isfinite().all())",
        "float(self.k)",
        "int(self.num_batches_tracked)",
        "1 if x.mean() > 0 else 2",
        "[n for n in (1, 2) if y[0]]",
        "flag and x.any()",
        "not x.any()",
        "y[y > 0]",
        "y[~(y > 0), 1]",
        "torch.zeros(3)",
        "torch.ones((), dtype=torch.float64)",
        "torch.tensor([1.0])",
        "torch.arange(len(x))",
        "torch.randn(len(x), 3)",
        "torch.randint(4, (3,))",
        "torch.randperm(3)",
        "torch.linspace(0, 1, 3)",
        "torch.from_numpy(other)",
        "other.to(self.device, non_blocking=True)",
        "other.to(x.device)",
        "other.to(device=x.device, dtype=x.dtype)",
        "other.to(x)",
        "other.to('cuda')",
        "other.cuda()",
    ],
)
def test_a_bad_line_is_found(line):
    method = f"    def step(self, x: Tensor, y: torch.Tensor | None, other, flag):\n        return {line}\n"
    found = findings(f"class Model:\n    k: Tensor\n{method}")
    assert [(finding.function, finding.line) for finding in found] == [("Model.step", 4)]


@pytest.mark.parametrize(
    "body",
    [
        "if x.mean() > 0:\n        pass",
        "while x.any():\n        pass",
        "assert x.max() < 1",
        "z = 2 * x\n    if z.sum():\n        pass",
        "first, second = x.unbind(1)\n    return bool(second)",
        "first, second = None, x\n    return bool(second)",
        "mask = x > 0\n    x[mask] = 1.0",
        "mask = x > 0\n    return x[mask & (x < 1)]",
        "def inner(w: Tensor):\n        return w.item()",
    ],
)
def test_a_bad_function_is_found(body):
    assert len(findings(f"def penalty(x: Tensor):\n    {body}\n")) == 1


def test_a_bad_line_beside_functions_is_found():
    assert [finding.function for finding in findings("WEIGHTS = torch.tensor([1.0])\n")] == [""]


@pytest.mark.parametrize(
    "line",
    [
        "torch.zeros(3, device=x.device)",
        "torch.zeros_like(x)",
        "x.new_zeros(3)",
        "x.new_full((), 0.5)",
        "torch.where(x > 0, x, 0.0)",
        "y is None",
        "1 if y is None else 2",
        "1 if len(x) > 2 else 3",
        "1 if x.ndim == 4 and x.shape[0] > 2 else 3",
        "1 if x.dtype == torch.float32 else 2",
        "x if x.requires_grad else y",
        "bool(self.settings)",
        "float(self.weight(3))",
        "x.to(torch.float32)",
        "x.to(y.dtype)",
        "x[:, 0]",
        "x[y.long()]",
        "x * (x > 0)",
        "flag and len(x)",
    ],
)
def test_a_good_line_passes(line):
    assert (
        findings(f"class Model:\n    def step(self, x: Tensor, y: Tensor | None, flag):\n        return {line}\n") == []
    )


def test_constructors_make_what_is_moved_later():
    assert findings("class Layer:\n    def __init__(self):\n        self.weight = torch.zeros(3)\n") == []
