"""Two sets of a person's own pictures that do not belong together, picture by picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gan_lab.data.archives import open_source
from gan_lab.data.base import size_to_load
from gan_lab.data.copies import digest_of
from gan_lab.data.folder import Folder
from gan_lab.data.pair_files import around
from gan_lab.data.paired import warn_of_repetitions

OF_SOURCES = ("source_data", "condition_shape", "masked")  # settings that say where sources come from


class CroppedFolder(Folder):
    """A folder whose training images are cut out of larger ones at random, anew at each pass.

    Evaluation takes all of each image, brought to `image_size` itself.

    Args:
        load_size: one number or [height, width], of which training sees `image_size` (CycleGAN: 286 for 256); None for
            `image_size` itself.
        settings: as `Folder`.
    """

    def __init__(self, *, load_size: int | Sequence[int] | None, **settings: Any) -> None:
        super().__init__(**settings)
        self.load_size = size_to_load(load_size, self.image_size)
        if self.load_size != self.image_size:
            own = {key: value for key, value in settings.items() if key not in OF_SOURCES}
            larger = {
                "image_size": self.load_size,
                "sample_shape": [self.channels, *self.load_size],
                "quarter_turns": False,  # squares are cut out of them
            }
            self._larger = Folder(**(own | larger))


class UnpairedFolders(CroppedFolder):
    """Targets in one folder or zip, sources in another; to learn either from the other without pairs.

    They lie as CycleGAN's authors publish theirs, `trainA`, `trainB`, `testA` and `testB` in one folder, A the sources
    and B the targets; or anywhere, by roots of their own. Their numbers need not agree. Both are mirrored and cut out
    of `load_size`, each by draws of its own.

    Args:
        folder: or zip that holds the four, the latter two or not; None where `root` and `source_root` are given.
        direction: of `folder`: AtoB, or BtoA for A as the targets.
        root: of the targets; None for that in `folder`.
        source_root: of the sources, likewise.
        test_root, source_test_root: of those that are not trained on, likewise; None also where there are none.
        source_channels: of the sources: 1 grey, 3 colours, 4 with alpha.
        settings: as `CroppedFolder`, of both sets.
    Raises:
        ValueError: a root is missing, or both ways are given.
    """

    source_data: CroppedFolder

    def __init__(
        self,
        *,
        folder: str | None,
        direction: str,
        root: str | None,
        source_root: str | None,
        test_root: str | None,
        source_test_root: str | None,
        source_channels: int,
        condition_shape: list[int],
        **settings: Any,
    ) -> None:
        if direction not in ("AtoB", "BtoA"):
            raise ValueError(f"data.direction must be AtoB or BtoA, got {direction!r}")
        roots = {"root": root, "source_root": source_root}
        tests = {"test_root": test_root, "source_test_root": source_test_root}
        if folder is not None:
            if given := [key for key, value in (roots | tests).items() if value is not None]:
                raise ValueError(f"data.folder and data.{given[0]} both say where pictures lie: leave one out")
            roots, tests = found_in(Path(folder).expanduser(), direction)
        if missing := [key for key, value in roots.items() if value is None]:
            raise ValueError(
                f"data.{missing[0]} is missing: give data.folder=PATH, which holds trainA and trainB, or "
                "data.root=PATH of the targets and data.source_root=PATH of the sources"
            )
        own = {key: settings[key] for key in settings if key not in ("name", "sample_shape", "channels", "masked")}
        source_data = CroppedFolder(
            name=f"{settings['name']}_sources",
            channels=source_channels,
            sample_shape=condition_shape,
            root=str(roots["source_root"]),
            test_root=tests["source_test_root"],
            **own,
        )
        source_data.keys = ("data.source_root", "data.source_test_root")
        self._compared = False
        super().__init__(
            root=str(roots["root"]),
            test_root=tests["test_root"],
            source_data=source_data,
            condition_shape=condition_shape,
            **settings,
        )

    def prepare_data(self) -> None:
        """See `DecodedImages`: both; and say which test pictures are trained on, too."""
        super().prepare_data()
        self.source_data.prepare_data()
        for data in (self, self.source_data):
            if "test" in data.splits and not self._compared:
                warn_of_repetitions(data.name, "test", data.source("train"), data.source("test"))
        self._compared = True

    def identity(self) -> str:
        """See `Data`: of both."""
        return digest_of([super().identity(), self.source_data.identity()])


def found_in(folder: Path, direction: str) -> tuple[dict[str, str | None], dict[str, str | None]]:
    """Roots, and those of the test images, in a folder of `trainA`, `trainB` and perhaps `testA`, `testB`.

    Raises:
        ValueError: one of the first two is missing.
    """
    source, target = ("A", "B") if direction == "AtoB" else ("B", "A")
    folder, there = domains_in(folder)
    for name in ("trainA", "trainB"):
        if name not in there:
            raise ValueError(
                f"data.folder={folder} holds no folder {name}; it should hold trainA and trainB, and may hold "
                "testA and testB. Pictures that lie elsewhere are named by data.root (targets) and data.source_root "
                "(sources)"
            )
    tests = {"test_root": folder / f"test{target}", "source_test_root": folder / f"test{source}"}
    return (
        {"root": str(folder / f"train{target}"), "source_root": str(folder / f"train{source}")},
        {key: str(path) if path.name in there else None for key, path in tests.items()},
    )


def domains_in(folder: Path) -> tuple[Path, set[str]]:
    """Where the folders of the domains lie, and the names of folders there: `folder` itself, or within a zip."""
    if not folder.is_file():
        return folder, {path.name for path in folder.glob("*/")}
    names = open_source(folder, "data.folder").names()
    inside = around(names)
    return folder / inside, {name.removeprefix(inside).partition("/")[0] for name in names}
