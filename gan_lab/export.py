"""`python -m gan_lab.export`: a generator for use elsewhere: safetensors + config JSON, ONNX as an extra."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from gan_lab.cli import made_folder, run_command
from gan_lab.runs.settings import plain


def main() -> None:
    """The command."""
    run_command("export", run)


def run(config: DictConfig) -> None:
    """Write generator.safetensors and generator.json into `out`, and generator.onnx if asked for."""
    from gan_lab.runs.checkpoint import describe, load_generator, write_snapshot

    settings = plain(config)
    if not settings["tolerance"] > 0:
        raise ValueError(f"tolerance must be more than 0, got {settings['tolerance']}")
    loaded = load_generator(
        settings["checkpoint"], settings["weights"], trust=settings["trust"], direction=settings["direction"]
    )
    out = made_folder(Path(settings["out"]))
    about = describe(loaded.config) | {
        "images_seen": loaded.images_seen,
        "network": loaded.name,
        "weights": loaded.weights,
        "inputs": loaded.inputs.state_dict(),
    }
    if loaded.licence is not None:
        about["licence"] = loaded.licence
        print(f"licence {loaded.licence}")
    write_snapshot(out / "generator.safetensors", loaded.network, about)
    print(f"{out / 'generator.safetensors'}\n{out / 'generator.json'}")
    if settings["onnx"]:
        difference = export_onnx(loaded, out / "generator.onnx", settings["tolerance"])
        print(f"{out / 'generator.onnx'}  (differs from the module by at most {difference:.1e})")


def export_onnx(loaded: Any, path: Path, tolerance: float) -> float:
    """Write an ONNX file with a free batch size and compare it with the module on two batch sizes.

    Of a generator that is given pictures, height and width are free, too, in multiples of what the network takes, and
    it is compared at three sizes.

    Returns:
        The largest absolute difference found.
    Raises:
        ImportError: the extra is not installed.
        RuntimeError: the difference is more than `tolerance`; the file is removed.
        ValueError: the generator draws noise, which a file and a module cannot draw alike.
    """
    if hasattr(loaded.network, "noise_size"):
        raise ValueError(
            f"onnx=true does not suit {type(loaded.network).__name__}, which draws noise for each picture; leave it "
            "out: generator.safetensors and load_generator make its pictures"
        )
    try:
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError("onnx=true needs: pip install 'gan-lab-platform[onnx]'") from error
    import torch

    from gan_lab.sampling import Draws

    draws = Draws(0, across_ranks=False)
    example, compared, free = tried(loaded, draws)
    names = list(example)
    torch.onnx.export(
        loaded.network,
        tuple(example.values()),
        str(path),
        input_names=names,
        output_names=["samples"],
        dynamic_shapes=tuple({axis: free[axis] for axis in free if axis < value.ndim} for value in example.values()),
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    difference = 0.0
    for arguments in compared:
        with torch.no_grad():
            ours = loaded.network(**arguments)
        theirs = session.run(["samples"], {name: value.numpy() for name, value in arguments.items()})[0]
        difference = max(difference, float((ours - torch.from_numpy(theirs)).abs().max()))
    if not difference <= tolerance:
        path.unlink()
        raise RuntimeError(
            f"the ONNX file differs from the module by {difference:.1e}, more than tolerance={tolerance}"
        )
    return difference


def tried(loaded: Any, draws: Any) -> tuple[dict[str, Any], list[dict[str, Any]], dict[int, Any]]:
    """What a generator is exported with: an example of its inputs, those it is compared on, and the free dimensions.

    Args:
        loaded: see `gan_lab.checkpoint.load_generator`.
        draws: gives all these inputs.
    """
    from torch.export import Dim

    batch = {0: Dim("batch")}
    if not hasattr(loaded.inputs, "condition_shape"):
        return loaded.inputs.example(draws, 2), [loaded.inputs.example(draws, count) for count in (1, 7)], batch
    from gan_lab.translation.reach import size_multiple, smallest_size

    multiple, smallest = size_multiple(loaded.network), smallest_size(loaded.network)
    height, width = loaded.inputs.condition_shape[1:]

    def example(count: int, *size: int) -> dict[str, Any]:
        return loaded.inputs.of_size(size).example(draws, count)

    sizes = (height, width), (smallest, smallest + multiple), (height + multiple, width + 2 * multiple)
    sides = {axis: multiple * Dim(name, min=smallest // multiple) for axis, name in ((2, "rows"), (3, "columns"))}
    compared = [example(count, *size) for count, size in enumerate(sizes, start=1)]
    return example(2, height + multiple, width + 2 * multiple), compared, batch | sides


if __name__ == "__main__":
    main()
