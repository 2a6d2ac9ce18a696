"""`python -m gan_lab.export`: a generator for use elsewhere: safetensors + config JSON; ONNX, or a page, on request."""

from pathlib import Path

from omegaconf import DictConfig

from gan_lab.cli import made_folder, run_command
from gan_lab.exporting.onnx_file import export_onnx
from gan_lab.runs.settings import plain


def main() -> None:
    """The command."""
    run_command("export", run)


def run(config: DictConfig) -> None:
    """Write generator.safetensors and generator.json into `out`; generator.onnx and generator.html if asked for.

    Raises:
        ValueError: a setting that is wrong, or a page of a generator that does not suit one; before anything is
            written.
    """
    from gan_lab.exporting.page import check_suits_a_page, page_of
    from gan_lab.exporting.web_runtime import web_runtime
    from gan_lab.runs.checkpoint import describe, load_generator, write_atomically, write_snapshot

    settings = plain(config)
    if not settings["tolerance"] > 0:
        raise ValueError(f"tolerance must be more than 0, got {settings['tolerance']}")
    loaded = load_generator(
        settings["checkpoint"], settings["weights"], trust=settings["trust"], direction=settings["direction"]
    )
    if settings["page"]:
        check_suits_a_page(loaded)
        runtime = web_runtime(settings["runtime"], Path(settings["paths"]["cache_dir"]))
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
    if settings["page"]:
        page = page_of(loaded, runtime=runtime, tolerance=settings["tolerance"])
        write_atomically(out / "generator.html", lambda file: file.write_text(page, encoding="utf-8"))
        print(f"{out / 'generator.html'}  ({len(page.encode()) / 1e6:.1f} MB)")


if __name__ == "__main__":
    main()
