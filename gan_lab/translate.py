"""`python -m gan_lab.translate`: pictures from pictures by a trained translator, a file, a folder or a zip of them."""

import hashlib
import json
import os
import traceback
from pathlib import Path, PurePosixPath
from typing import Any

from omegaconf import DictConfig

from gan_lab import __version__
from gan_lab.cli import made_folder, run_command
from gan_lab.distributed.topology import choose_device
from gan_lab.runs.settings import plain
from gan_lab.sample import naming, replacing, shortened

SIZES, TILES = ("native", "train"), ("auto", "off")
PARTS = ("tile", "tile_size", "max_megapixels")  # settings of the parts in which a picture is made
MADE_OF = "gan_lab.translate"  # under which a picture's file tells what it was made of
MANIFEST = "manifest.json"


def main() -> None:
    """The command."""
    run_command("translate", run)


def run(config: DictConfig) -> None:
    """Write what the generator makes of each source, and a manifest.

    Raises:
        ValueError: a setting that is wrong or does not suit the generator, before anything is written; or, after all
            others are, the pictures that could not be made.
    """
    from rich.progress import track

    settings = plain(config)
    for key, choices in {"size": SIZES, "tile": TILES}.items():
        if settings[key] not in choices:
            raise ValueError(f"{key} must be {' or '.join(choices)}, got {settings[key]!r}")
    job = Job(settings)
    made_folder(job.out)
    entries, failed, there = [], {}, 0
    for name in track(job.names, description="translating", transient=True):
        try:
            entry, remarks = job.translate(name)
        except Refused as error:
            failed[name] = str(error)
            print(f"{name}: {error}")
            continue
        entries.append(entry)
        there += remarks is None
        for remark in remarks or []:
            print(f"{name}: {remark}")
    job.write_manifest(entries, failed)
    loaded = job.loaded
    print(f"{len(entries)} pictures by {loaded.path} ({loaded.weights}, {loaded.images_seen / 1000:.1f} kimg)")
    if there:
        print(f"{there} of them were there already")
    print(f"pictures  {job.out}\nmanifest  {job.out / MANIFEST}")
    if failed:
        raise ValueError(f"{len(failed)} of {len(job.names)} pictures could not be made: {shortened(list(failed))}")


class Refused(ValueError):
    """One picture that cannot be made, and why; the others can."""


class Job:
    """All that one command knows of its pictures.

    A picture's file tells by a digest what it was made of: source, mask, generator and settings. One that tells the
    same is not made again, so that a command that was killed goes on where it was. The settings of `PARTS` are left out
    of it, so that one may be changed for the sake of a picture that was too large.

    Args:
        settings: of the command, see conf/translate.yaml.
    Attributes:
        out: the folder of pictures.
        loaded: the generator.
        names: of the sources, relative and sorted.
    Raises:
        ValueError: a setting that is wrong, or does not suit the generator.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        from gan_lab.runs.checkpoint import load_generator
        from gan_lab.sampling import check_seed
        from gan_lab.sharing.marks import mark_of
        from gan_lab.translation.applying import Translating, fill_of, labels_of
        from gan_lab.translation.reading import by_stem, pictures_at

        self.out, self.settings = Path(settings["out"]), settings
        self.sources = pictures_at("sources", settings["sources"])
        self.names = self.sources.names()
        for line in [*self.sources.findings(), *self.sources.notes()]:
            print(f"sources: {line}")
        if self.out.resolve().is_relative_to(Path(settings["sources"]).resolve()):
            raise ValueError(
                f"out={settings['out']} lies within sources={settings['sources']}, of which its pictures would be "
                "sources the next time; choose a folder beside it"
            )
        # Given on only where it is asked for: of most models there is one generator.
        direction = {} if settings["direction"] is None else {"direction": settings["direction"]}
        self.loaded = load_generator(
            settings["checkpoint"],
            settings["weights"],
            device=choose_device(settings["device"]),
            trust=settings["trust"],
            **direction,
        )
        self.mark = mark_of(self.loaded, check_seed("seed", settings["seed"]), of_picture=True)
        self.labels = labels_of(self.loaded)
        self.translating = Translating(
            self.loaded,
            seed=settings["seed"],
            tile=settings["tile"] == "auto",
            tile_size=settings["tile_size"],
            max_megapixels=settings["max_megapixels"],
            fill=fill_of(self.loaded, settings["fill"]),
            label_maps=self.labels is not None,
        )
        self._check_masks()
        self.masks: Any = None
        self._mask_names: dict[str, str] = {}
        if settings["masks"] not in (None, "alpha"):
            self.masks = pictures_at("masks", settings["masks"])
            self._mask_names = by_stem(f"masks={settings['masks']}", self.masks)
        with open(self.loaded.path, "rb") as file:
            self.checkpoint = {
                "file": self.loaded.path.name,
                "sha256": hashlib.file_digest(file, "sha256").hexdigest(),
                "network": self.loaded.name,
                "weights": self.loaded.weights,
                "images_seen": self.loaded.images_seen,
            }
        masks = "files" if self.masks else settings["masks"]
        self.decisive = {key: settings[key] for key in ("size", "seed")} | {
            "masks": masks,
            "fill": self.translating.fill,
        }
        self._sources_of: dict[str, str] = {}

    def _check_masks(self) -> None:
        masks = self.settings["masks"]
        if self.translating.masked and masks is None:
            raise ValueError(
                "this network fills holes, and there are none: give masks=FOLDER of pictures that are white in the "
                "hole, with the sources' names, or masks=alpha where the hole is transparent"
            )
        if not self.translating.masked and masks is not None:
            raise ValueError(f"masks={masks} is of holes, and this network is given none; leave it out")

    def translate(self, name: str) -> tuple[dict[str, Any], list[str] | None]:
        """Make one picture, unless it is there.

        Returns:
            Its entry in the manifest, and what a person should know about it; None where it was there.
        Raises:
            Refused: it cannot be made, and why.
            OSError: it cannot be written.
        """
        target = self._target(name)
        content = self._content(self.sources, name)
        mask_name, mask = self._mask(name)
        digests = {"source": sha256(content), "mask": None if mask is None else sha256(mask)}
        generator = {key: self.checkpoint[key] for key in ("sha256", "network", "weights")}
        made_of = sha256(json.dumps([digests, generator, self.decisive]).encode())
        remarks = None
        if self.settings["overwrite"] or not target.exists():
            image, remarks = self._made(content, mask)
            write(image, target, made_of, self.mark)
        size = self._size_of(target, made_of)
        entry = {"source": name, "source_sha256": digests["source"]}
        if mask is not None:
            entry |= {"mask": mask_name, "mask_sha256": digests["mask"]}
        output = {"output": target.relative_to(self.out).as_posix(), "output_sha256": sha256(target.read_bytes())}
        return entry | output | {"width": size[0], "height": size[1]}, remarks

    def _target(self, name: str) -> Path:
        """The file of what is made of a source."""
        inside = PurePosixPath(name)
        if inside.is_absolute() or ".." in inside.parts:
            raise Refused("its name leads out of the folder of pictures; put it into the zip under another one")
        output = str(inside.with_suffix(".png"))
        first = self._sources_of.setdefault(output, name)
        if first != name:
            raise Refused(f"{output} is made of {first}; give one of them another name")
        return self.out / output

    @staticmethod
    def _content(source: Any, name: str) -> bytes:
        try:
            return source.read(name)
        except Exception as error:  # a zip entry with a wrong checksum, an encrypted one, a file without permission
            raise Refused(f"{error}" or type(error).__name__) from error

    def _mask(self, name: str) -> tuple[str | None, bytes | None]:
        """Name and content of the mask's file that belongs to a source; None where there are no such files."""
        from gan_lab.translation.reading import stem

        if self.masks is None:
            return None, None
        if stem(name) not in self._mask_names:
            raise Refused(f"masks={self.settings['masks']} has no {stem(name)} with an extension of pictures")
        mask_name = self._mask_names[stem(name)]
        return mask_name, self._content(self.masks, mask_name)

    def _made(self, content: bytes, mask: bytes | None) -> tuple[Any, list[str]]:
        """The picture that is made of a source, as an image of Pillow, and remarks."""
        from gan_lab.data.holes import hole_of_alpha, hole_of_mask
        from gan_lab.translation.applying import explained
        from gan_lab.translation.reading import image_of, read_label_map, read_picture, shrunk_hole

        translating = self.translating
        image_size = translating.image_size if self.settings["size"] == "train" else None
        try:
            if self.labels is not None:
                picture = read_label_map(content, self.labels, image_size)
            else:
                picture = read_picture(content, translating.channels[0], image_size)
            alpha, remarks, hole = picture.alpha, picture.remarks, None
            if mask is not None:
                hole, more = hole_of_mask(mask, picture.size)
                hole, remarks = hole if image_size is None else shrunk_hole(hole, image_size), remarks + more
            elif translating.masked:
                hole, alpha, more = hole_of_alpha(alpha)
                remarks = remarks + more
            made = translating(picture.pixels, hole)
        except (ValueError, RuntimeError, MemoryError) as error:
            if self.settings["debug"]:
                traceback.print_exc()
            raise Refused(explained(error)) from error
        return image_of(made, alpha), remarks

    def _size_of(self, target: Path, made_of: str) -> tuple[int, int]:
        """(width, height) of the picture that is there, if it was made of the same."""
        from PIL import Image

        try:
            with Image.open(target) as picture:
                told, size = picture.info.get(MADE_OF), picture.size
        except (OSError, SyntaxError):
            told, size = None, (0, 0)
        if told != made_of:
            what = "was made otherwise, or of another source" if told else "is there, of other origin"
            raise Refused(f"{target} {what}; overwrite=true replaces it, or choose another out=...")
        return size

    def write_manifest(self, entries: list[dict[str, Any]], failed: dict[str, str]) -> None:
        """What was made of what, by what: the same for the same command, however often it was killed."""
        about = {
            "gan_lab": __version__,
            "checkpoint": self.checkpoint,
            "settings": self.decisive | {key: self.settings[key] for key in PARTS},
            "pictures": entries,
            "failed": failed,
        }
        target = self.out / MANIFEST
        with naming(target), replacing(target) as temporary:
            temporary.write_text(json.dumps(about, indent=1), encoding="utf-8")


def write(image: Any, target: Path, made_of: str, mark: Any) -> None:
    """Write a PNG that tells what it was made of and by what, so that it is there as a whole or not at all.

    Args:
        mark: see `gan_lab.sharing.marks.Mark`.
    """
    info = mark.info()
    info.add_text(MADE_OF, made_of)
    with naming(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as temporary, open(temporary, "wb") as file:
            image.save(file, format="PNG", pnginfo=info)
            file.flush()
            os.fsync(file.fileno())


def sha256(content: bytes) -> str:
    """Of a file's content, in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


if __name__ == "__main__":
    main()
