"""A network as an ONNX file that is compared with the module before anybody uses it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gan_lab.installing import install_command


def export_onnx(loaded: Any, path: Path, tolerance: float) -> float:
    """Write an ONNX file with a free batch size and compare it with the module on three batch sizes.

    Of a generator that is given pictures, height and width are free, too, in multiples of what the network takes, and
    it is compared at three sizes. One that draws noise has it as an input, (B, noise_size) standard normal.

    Args:
        loaded: see `gan_lab.checkpoint.load_generator`.
        path: of the file.
        tolerance: see `written`.
    Returns:
        The largest absolute difference found.
    Raises:
        ImportError, RuntimeError: see `written`.
    """
    from gan_lab.sampling import Draws

    example, compared, free = tried(loaded, Draws(0, across_ranks=False))
    shapes = {name: {axis: free[axis] for axis in free if axis < value.ndim} for name, value in example.items()}
    return written(loaded.network, path, example=example, compared=compared, shapes=shapes, tolerance=tolerance)


def written(
    network: Any,
    path: Path,
    *,
    example: Mapping[str, Any],
    compared: Sequence[Mapping[str, Any]],
    shapes: Mapping[str, Any],
    tolerance: float,
) -> float:
    """Write a network's ONNX file, whose output is called samples, and compare it with the network.

    Args:
        network: in eval mode on the CPU.
        path: of the file.
        example: tensors by the name of the argument, with which it is traced.
        compared: such tensors, on which file and network are compared.
        shapes: the free dimensions of each argument: {axis: torch.export.Dim}.
        tolerance: the largest absolute difference that passes.
    Returns:
        The largest absolute difference found.
    Raises:
        ImportError: the extra is not installed.
        RuntimeError: the difference is more than `tolerance`; the file is removed.
    """
    check_extra("onnx")
    import onnxruntime
    import torch

    torch.onnx.export(
        network,
        (),
        str(path),
        kwargs=dict(example),
        input_names=list(example),
        output_names=["samples"],
        dynamic_shapes=dict(shapes),
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    difference = 0.0
    for arguments in compared:
        with torch.no_grad():
            ours = network(**arguments)
        theirs = session.run(["samples"], {name: value.numpy() for name, value in arguments.items()})[0]
        difference = max(difference, float((ours - torch.from_numpy(theirs)).abs().max()))
    if not difference <= tolerance:
        path.unlink()
        raise RuntimeError(
            f"the ONNX file differs from the module by {difference:.1e}, more than tolerance={tolerance}"
        )
    return difference


def check_extra(key: str) -> None:
    """Whether what writes ONNX files is installed; `key` is what a person has set to true.

    Raises:
        ImportError: it is not.
    """
    try:
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError(f"{key}=true needs: {install_command('onnx')}") from error


def tried(loaded: Any, draws: Any) -> tuple[dict[str, Any], list[dict[str, Any]], dict[int, Any]]:
    """What a generator is exported with: an example of its inputs, those it is compared on, and the free dimensions.

    Args:
        loaded: see `gan_lab.checkpoint.load_generator`.
        draws: gives all these inputs.
    """
    from torch.export import Dim

    noise_size = getattr(loaded.network, "noise_size", None)

    def example(count: int, inputs: Any = loaded.inputs) -> dict[str, Any]:
        noise = {} if noise_size is None else {"noise": draws.normal("noise", count, (noise_size,))}
        return inputs.example(draws, count) | noise

    batch = {0: Dim("batch")}
    if not hasattr(loaded.inputs, "condition_shape"):
        return example(2), [example(count) for count in (1, 3, 7)], batch
    from gan_lab.translation.reach import size_multiple, smallest_size

    if getattr(loaded.network, "own_size_alone", False):
        return example(2), [example(count) for count in (1, 3, 5)], batch
    multiple, smallest = size_multiple(loaded.network), smallest_size(loaded.network)
    height, width = loaded.inputs.condition_shape[1:]
    sizes = (smallest, smallest + multiple), (height, width), (height + multiple, width + 2 * multiple)
    sides = {axis: multiple * Dim(name, min=smallest // multiple) for axis, name in ((2, "rows"), (3, "columns"))}
    compared = [example(count, loaded.inputs.of_size(size)) for count, size in zip((2, 1, 3), sizes, strict=True)]
    return example(2, loaded.inputs.of_size(sizes[2])), compared, batch | sides
