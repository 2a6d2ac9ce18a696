"""The page, on Gradio: what a person presses becomes a request, and what comes of it is shown. Loopback alone.

Whoever imports this needs the extra `demo`. Gradio's reports home are off before it is imported, and the page's fonts
are those of the system, so that nothing is asked of another host.
"""

import html
import os
import secrets
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np

os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "True"}

import gradio as gr

from gan_lab.data.pictures import LARGE_ENOUGH, enlarged
from gan_lab.demonstration.samples import MOST_FRAMES, Request, Samples, Step, Truncation
from gan_lab.demonstration.training import Training, nearest_to
from gan_lab.demonstration.translations import Translations
from gan_lab.evaluation.generation import BLOCK
from gan_lab.latents.animation import save
from gan_lab.runs.checkpoint import LoadedGenerator

HOST = "127.0.0.1"
PORTS = 65535
SEEDS = 2**31  # of the button for another one: numbers that a person can type again
EXACT = 2**53  # up to which a browser counts
FRAMES, FPS = 60, 25  # of a walk, unless others are asked for; frames a second
FEWEST_FRAMES = 10
SPREAD = 0.25  # how far "more like these" goes, unless another part of the way is asked for
SPREADS = (0.05, 1)  # what can be asked for
STRENGTH = 3.0  # of sliders at most, to either side, as on the sheet of gan_lab.directions
NEAREST, SAMPLES_WITH_NEIGHBOURS = 5, 4
FEW = LARGE_ENOUGH // 2  # pixels of a side up to which pixels are shown as squares
LARGEST_UPLOAD = "200mb"
STYLE = """
.squares img { image-rendering: pixelated; }
.all .grid-wrap { max-height: none !important; min-height: 0 !important; overflow: visible !important; }
.all .grid-container {
  grid-template-columns: repeat(4, minmax(0, 1fr)) !important; grid-template-rows: none !important;
  grid-auto-rows: auto !important;
}
.all.beside .grid-container { grid-template-columns: repeat(6, minmax(0, 1fr)) !important; }
@media (max-width: 600px) {
  .all.beside .grid-container { grid-template-columns: repeat(3, minmax(0, 1fr)) !important; }
}
.all .caption-label { font-size: 11px; padding: 1px 4px; max-width: 100%; }
.about { overflow-wrap: anywhere; }
footer { display: none !important; }
.gradio-container { overflow: clip !important; }
.all .thumbnail-item { border-color: transparent !important; box-shadow: none !important; height: auto !important; }
@media (max-width: 600px) {
  #with-pictures { display: contents; }
  #pictures { position: sticky; top: 0; z-index: 50; }
  #pictures .grid-wrap { max-height: 45vh !important; overflow: auto !important; }
}
"""
# A picture has a border while its number is ticked: Gradio's own stays on what was pressed last.
STYLE += "".join(
    f"#with-pictures:has(#chosen label:nth-of-type({number}) input:checked)"
    f" .gallery-item:nth-of-type({number}) .thumbnail-item {{ outline: 3px solid #f97316; outline-offset: -3px; }}\n"
    for number in range(1, BLOCK + 1)
)


def page_of_samples(session: Samples, training: Training | None, remarks: list[str], folder: Path) -> gr.Blocks:
    """The page of a generator of latents.

    Args:
        session: what is asked.
        training: None where the data is not at hand.
        remarks: lines below the title.
        folder: for files to keep.
    """
    classes = class_names(session.num_classes, training)
    with _blocks() as page:
        _head(session.loaded, remarks)
        request, squares = gr.State(Request(seed=0)), _squares(session.loaded)
        with gr.Row():
            with gr.Column(scale=3, min_width=300, elem_id="with-pictures"):
                with gr.Row():
                    seed = gr.Number(label="Seed", value=0, min_width=120, elem_id="seed")
                    again = gr.Button("Show", size="md", min_width=80)
                    another = gr.Button("Another seed", size="md", min_width=120, variant="primary", elem_id="another")
                gallery = _gallery("Pictures", 4, elem_id="pictures", elem_classes=["all", *squares])
                chosen = gr.CheckboxGroup(
                    [(str(number), number) for number in range(session.count)],
                    label="Chosen: press pictures, or tick their numbers",
                    elem_id="chosen",
                )
                with gr.Row():
                    more = gr.Button("More like these", size="md", min_width=140, elem_id="more")
                    going = gr.Button("Walk", size="md", min_width=80, elem_id="going")
                    alike = gr.Button(
                        "Nearest in training", size="md", min_width=140, visible=training is not None, elem_id="alike"
                    )
                    kept = gr.DownloadButton("Download PNG", size="md", min_width=140, elem_id="download")
            with gr.Column(scale=1, min_width=260):
                label = gr.Dropdown(
                    [("any", -1), *((classes[number], number) for number in range(session.num_classes))],
                    value=-1,
                    label="Class",
                    visible=session.num_classes > 0,
                )
                truncation = _truncation(session.truncation)
                strengths = [gr.Slider(-STRENGTH, STRENGTH, value=0, step=0.1, label=name) for name in session.sliders]
                level = gr.Button("All sliders to 0", size="sm", visible=bool(strengths))
                with gr.Accordion("How far, how long", open=False):
                    spread = gr.Slider(
                        *SPREADS, value=SPREAD, step=0.05, label="More like these: part of the way to other pictures"
                    )
                    frames = gr.Slider(
                        FEWEST_FRAMES, MOST_FRAMES, value=FRAMES, step=10, label=f"Walk: frames, {FPS} a second"
                    )
        walked = gr.Image(
            label="Walk",
            visible=False,
            type="filepath",
            buttons=["download", "fullscreen"],
            elem_id="walk",
            elem_classes=squares,
        )
        with gr.Column(visible=False) as with_neighbours:
            of_which = gr.HTML()
            beside = _gallery("Nearest", NEAREST + 1, elem_id="neighbours", elem_classes=["all", "beside", *squares])
        moved = [truncation, *strengths]

        def with_controls(asked: Request, values: tuple[Any, ...]) -> Request:
            bound, numbers = values[0], values[1:]
            named = dict(zip(session.sliders, numbers, strict=True))
            for name, value in named.items():
                within(name, value, -STRENGTH, STRENGTH)
            known = session.truncation
            if known is None or within("Truncation", bound, known.least, known.most) == known.most:
                bound = None
            return asked._replace(truncation=bound, strengths=named)

        def shown(asked: Request, picks: list[int]) -> tuple[Any, ...]:
            made = session.pictures(asked)
            labels = session.labels(asked) if session.num_classes else None
            captions = [
                str(number) if labels is None else f"{number}: {classes[labels[number]]}"
                for number in range(session.count)
            ]
            pictures, file = list(zip(made, captions, strict=True)), keep(session.file(asked, picks), folder)
            earlier = gr.update(visible=False)  # a walk and training pictures of those that were shown before
            return asked, pictures, picks, file, earlier, earlier

        @_told
        def begin(number: float, chosen_label: int, *values: Any) -> tuple[Any, ...]:
            if chosen_label not in range(-1, session.num_classes):
                raise ValueError(f"Class must be one of 0 to {session.num_classes - 1}, or any; got {chosen_label!r}")
            first = Request(seed=seed_of(number), label=None if chosen_label < 0 else chosen_label)
            return shown(with_controls(first, values), [])

        @_told
        def move(asked: Request, picks: list[int], *values: Any) -> tuple[Any, ...]:
            return shown(with_controls(asked, values), picks)

        @_told
        def like(asked: Request, picks: list[int], part: float) -> tuple[Any, ...]:
            within("Part of the way", part, *SPREADS)
            return shown(asked._replace(steps=(*asked.steps, Step(tuple(sorted(picks)), part))), [])

        @_told
        def walk(asked: Request, picks: list[int], count: float, progress: Any = gr.Progress()) -> Any:  # noqa: B008
            made = session.frames(asked, sorted(picks), int(within("Frames", count, FEWEST_FRAMES, MOST_FRAMES)))
            pixels = [
                enlarged(np.asarray(frame)) for frame in progress.tqdm(made, total=int(count), desc="frames", unit="")
            ]
            place = new_folder(folder) / f"walk_seed{asked.seed}.webp"
            save(pixels, place, fps=FPS, loop=True, mark=session.mark(asked))
            return gr.update(value=str(place), visible=True, label=f"Walk, seed {asked.seed}")

        @_told
        def nearest(asked: Request, picks: list[int]) -> tuple[Any, ...]:
            assert training is not None
            made, rows = session.pictures(asked), []
            numbers = sorted(picks)[:SAMPLES_WITH_NEIGHBOURS] or [0]
            heading = (
                f"Seed {asked.seed}: pictures, each with the {NEAREST} of training most like it (number: levels apart)"
            )
            for number in numbers:
                rows.append((made[number], f"picture {number}"))
                for picture, near in nearest_to(made[number], training.pictures, NEAREST):
                    rows.append((picture, f"{near.number}: {near.distance:.1f}"))
            return gr.update(visible=True), _lines([heading, *left_out(picks)]), rows

        def press(picks: list[int], event: gr.SelectData) -> tuple[Any, Any]:
            number = int(event.index)
            changed = set(picks) ^ {number}
            return sorted(changed), gr.update(selected_index=None)

        @_told
        def keep_chosen(asked: Request, picks: list[int]) -> str:
            return keep(session.file(asked, sorted(picks)), folder)

        seen = [request, gallery, chosen, kept, walked, with_neighbours]
        # Values are checked in the handlers: Gradio's own checks cover the pictures with "Error" and print a traceback.
        private: dict[str, Any] = {"api_visibility": "private", "preprocess": False}
        start = {"fn": begin, "inputs": [seed, label, *moved], "outputs": seen} | private
        page.load(**start)
        again.click(**start)
        seed.submit(**start)
        label.input(**start)
        another.click(lambda: secrets.randbelow(SEEDS), None, seed, **private).then(**start)
        for slider in moved:
            slider.input(move, [request, chosen, *moved], seen, trigger_mode="always_last", **private)
        level.click(lambda: [0] * len(strengths), None, strengths, **private).then(
            move, [request, chosen, *moved], seen, **private
        )
        gallery.select(press, chosen, [chosen, gallery], show_progress="hidden", **private)
        chosen.change(keep_chosen, [request, chosen], kept, show_progress="hidden", **private)
        more.click(like, [request, chosen, spread], seen, **private)
        going.click(walk, [request, chosen, frames], walked, **private)
        alike.click(nearest, [request, chosen], [with_neighbours, of_which, beside], **private)
    return page


def page_of_translations(session: Translations, remarks: list[str], folder: Path) -> gr.Blocks:
    """The page of a translator; see `page_of_samples`."""
    with _blocks() as page:
        _head(session.loaded, remarks)
        with gr.Row():
            with gr.Column(min_width=300):
                source = gr.Image(
                    label="Drop a picture",
                    type="filepath",
                    image_mode=None,
                    sources=["upload", "clipboard"],
                    buttons=[],
                    elem_id="source",
                )
                editor = gr.ImageEditor(
                    label="Draw the hole",
                    type="numpy",
                    sources=(),
                    transforms=(),
                    layers=False,
                    brush=gr.Brush(colors=["#ff2d95"], color_mode="fixed"),
                    format="png",
                    buttons=[],
                    visible=session.masked,
                    elem_id="editor",
                )
                seed = gr.Number(label="Seed", value=0, visible=session.drawn, elem_id="seed")
                what = "Fill the hole" if session.masked else "Translate"
                go = gr.Button(what, size="md", variant="primary", elem_id="go")
            with gr.Column(min_width=300):
                result = gr.Image(
                    label="Result", type="filepath", format="png", buttons=["fullscreen"], elem_id="result"
                )
                said = gr.HTML(visible=False)
                kept = gr.DownloadButton("Download PNG", size="md", interactive=False, elem_id="download")

        @_told
        def dropped(place: str | None) -> Any:
            if place is None:
                return None
            image = session.drawn_on(Path(place).read_bytes())
            return {"background": image, "layers": [], "composite": None}

        @_told
        def make(place: str | None, drawing: Any, number: float) -> tuple[Any, ...]:
            if place is None:
                raise ValueError("there is no picture: drop one")
            made, lines = session.made(Path(place).read_bytes(), drawn_in(drawing), seed_of(number))
            file = new_folder(folder) / f"{Path(place).stem}_made.png"
            made.save(file, format="PNG", pnginfo=session.mark(seed_of(number)).info())
            return (
                str(file),
                gr.update(value=_lines(lines), visible=bool(lines)),
                gr.update(value=str(file), interactive=True),
            )

        private: dict[str, Any] = {"api_visibility": "private"}
        if session.masked:
            source.change(dropped, source, editor, **private)
        go.click(make, [source, editor, seed], [result, said, kept], **private)
    return page


def class_names(count: int, training: Training | None) -> list[str]:
    """What each class is called: as the data names it, else by its number."""
    names = None if training is None else training.class_names
    return [f"class {label}" for label in range(count)] if names is None or len(names) != count else list(names)


def left_out(picks: list[int]) -> list[str]:
    """What a person is told of the pictures that training pictures are looked up for, by those that are chosen."""
    if not picks:
        return ["None is chosen, so this is picture 0: press others to see theirs"]
    if len(picks) > SAMPLES_WITH_NEIGHBOURS:
        return [f"Of the {len(picks)} that are chosen the first {SAMPLES_WITH_NEIGHBOURS}"]
    return []


def drawn_in(drawing: Any) -> np.ndarray | None:
    """(h, w) uint8 of what a person has drawn, by the alpha of its layers; None where there is nothing of the kind.

    Args:
        drawing: of Gradio's editor, with layers (h, w, 4) uint8; None where it is hidden or empty.
    """
    layers = [layer[..., 3] for layer in (drawing or {}).get("layers", []) if layer.ndim == 3 and layer.shape[2] == 4]
    return np.maximum.reduce(layers) if layers else None


def seed_of(number: Any) -> int:
    """What was typed as a seed.

    Raises:
        ValueError: it is no whole number that a browser can count to.
    """
    if not is_number(number) or not 0 <= number <= EXACT or number != int(number):
        got = "nothing" if number is None else repr(number)
        raise ValueError(f"Seed must be a whole number from 0 to {EXACT}, got {got}")
    return int(number)


def within(name: str, value: Any, least: float, most: float) -> float:
    """A number that was set, as it is.

    Raises:
        ValueError: it is none, or out of range.
    """
    if not is_number(value) or not least <= value <= most:
        got = "nothing" if value is None else repr(value)
        raise ValueError(f"{name} must be from {least:g} to {most:g}, got {got}")
    return float(value)


def is_number(value: Any) -> bool:
    """Whether it is one, as a browser sends it."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def keep(file: tuple[str, bytes], folder: Path) -> str:
    """Write a file so that the page can offer it; returns where it lies."""
    name, content = file
    place = new_folder(folder) / name
    place.write_bytes(content)
    return str(place)


def new_folder(folder: Path) -> Path:
    """A folder of its own for one file, so that none replaces another of its name that is still being loaded."""
    return Path(tempfile.mkdtemp(dir=folder))


@contextmanager
def serving(build: Callable[[Path], gr.Blocks], port: int) -> Iterator[str]:
    """Serve a page to this machine alone while the context lasts; all its files are gone afterwards.

    Args:
        build: makes the page; it is given a folder for files.
        port: 0 for any that is free.
    Yields:
        its address.
    Raises:
        ValueError: the port is out of range, or taken.
    """
    port = free_port(port)
    with tempfile.TemporaryDirectory(prefix="gan_lab_demo_") as folder:
        hosts = ",".join(filter(None, [os.environ.get("NO_PROXY") or os.environ.get("no_proxy"), HOST]))
        changes = {
            "GRADIO_TEMP_DIR": folder,
            "NO_PROXY": hosts,  # Gradio asks its own address whether it answers
            "no_proxy": hosts,
        }
        before = {name: os.environ.get(name) for name in changes}
        os.environ |= changes
        try:
            page = build(Path(folder))
            _, address, _ = page.launch(
                server_name=HOST,
                server_port=port,
                share=False,
                inbrowser=False,
                prevent_thread_lock=True,
                quiet=True,
                show_error=True,
                footer_links=[],
                run_history=False,
                allowed_paths=[],
                max_file_size=LARGEST_UPLOAD,
                enable_monitoring=False,
                strict_cors=True,
                ssr_mode=False,
                pwa=False,
                mcp_server=False,
                theme=gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
                css=STYLE,
            )
            try:
                yield address
            finally:
                page.close(verbose=False)
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


def free_port(port: int) -> int:
    """The port itself where it is free; of 0 one that is.

    Raises:
        ValueError: it is out of range, or taken.
    """
    if not 0 <= port <= PORTS:
        raise ValueError(f"port must be from 0 to {PORTS}, got {port}")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise ValueError(
                f"port={port} cannot be had ({error.strerror}); give another one, or port=0 for any that is free"
            ) from error
        return probe.getsockname()[1]


def _told(handler: Callable[..., Any]) -> Callable[..., Any]:
    """What a request cannot have is told beside the page, which stays as it is, and is no traceback in the terminal."""

    @wraps(handler)
    def telling(*values: Any, **named: Any) -> Any:
        try:
            return handler(*values, **named)
        except (ValueError, OSError, RuntimeError, MemoryError) as error:
            gr.Warning(html.escape(str(error) or type(error).__name__))
            return gr.skip()

    return telling


def _blocks() -> gr.Blocks:
    return gr.Blocks(title="gan_lab", analytics_enabled=False, fill_width=True, delete_cache=(600, 3600))


def _gallery(label: str, columns: int, **named: Any) -> gr.Gallery:
    """All pictures at once, as they are: none is enlarged by a press, which chooses it."""
    return gr.Gallery(
        label=label,
        show_label=False,
        columns=columns,
        height="auto",
        object_fit="contain",
        allow_preview=False,
        format="png",
        buttons=[],
        **named,
    )


def _head(loaded: LoadedGenerator, remarks: list[str]) -> None:
    weights = {"ema": "averaged weights", "live": "weights of the last step"}[loaded.weights]
    made_by = f"{loaded.path} ({weights}, {loaded.images_seen / 1000:,.1f} thousand pictures seen in training)"
    licence = [] if loaded.licence is None else [f"Licence of the weights: {loaded.licence}"]
    gr.HTML(f"<h2>gan_lab</h2>{_lines([f'Made by a generative model, {made_by}', *licence, *remarks])}", padding=False)


def _lines(lines: list[str]) -> str:
    return "".join(f'<div class="about">{html.escape(line)}</div>' for line in lines)


def _squares(loaded: LoadedGenerator) -> list[str]:
    shape = getattr(loaded.network, "sample_shape", (1, 1, 1))
    return ["squares"] if max(shape[1:]) <= FEW else []


def _truncation(known: Truncation | None) -> gr.Slider:
    if known is None:
        return gr.Slider(0, 1, value=1, visible=False)
    what = "psi: 0 the mean, 1 none" if known.styles else f"bound of latents: {known.most:g} none"
    return gr.Slider(known.least, known.most, value=known.most, step=0.05, label=f"Truncation, {what}")
