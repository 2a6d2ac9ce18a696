"""The model card of a generator: README.md with the front matter that the Hub reads."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from gan_lab.importing.licences import KNOWN, terms
from gan_lab.runs.records import read_json, scores_of
from gan_lab.sharing.marks import SOFTWARE

OWN = KNOWN["own"]
NO_NAME_ON_HUB = ("nvidia", "own")  # of the known licences


@dataclass
class Evaluated:
    """What a run's records say of a generator.

    Attributes:
        scores: by their names.
        hashes: score name -> hash of its protocol.
        protocols: hash -> protocol in full, as far as it is known.
        neighbours: the picture of samples beside their nearest training pictures, where the run has drawn one.
    """

    scores: dict[str, float] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    protocols: dict[str, Any] = field(default_factory=dict)
    neighbours: Path | None = None

    def reference(self, split: str | None = None) -> dict[str, Any]:
        """What the samples were compared with: data, split, count, content; empty if nothing is known."""
        found = (self.protocols.get(hash_, {}).get("reference") for hash_ in self.hashes.values())
        return next((r for r in found if isinstance(r, dict) and split in (None, r.get("split"))), {})


def evaluated(run: Path | None, images_seen: int, weights: str) -> Evaluated:
    """What the records of a run's folder say of its generator after so many images, of these weights.

    Args:
        run: None where the generator lies in no run's folder.
        weights: ema or live; scores whose protocol names others are left out.
    """
    if run is None:
        return Evaluated()
    picture = f"neighbours_pixels_{images_seen:012d}.png"  # of the callback; a metric draws what it compares with
    drawn = run / "pictures" / picture if (run / "pictures" / picture).is_file() else None
    line = next((line for line in scores_of(run) if line["images_seen"] == images_seen), None)
    if line is None:
        return Evaluated(neighbours=drawn)
    known: dict[str, Any] = {}
    for folder in (run / "watch", run):
        known |= read_json(folder / "protocols.json") or {}

    def is_of_these(hash_: str) -> bool:
        fakes = known.get(hash_, {}).get("fakes")
        return not isinstance(fakes, dict) or fakes.get("weights", weights) == weights

    hashes = {name: hash_ for name, hash_ in line.get("protocols", {}).items() if is_of_these(hash_)}
    return Evaluated(
        scores={name: value for name, value in line.get("scores", {}).items() if name in hashes},
        hashes=hashes,
        protocols={hash_: known[hash_] for hash_ in sorted(set(hashes.values())) if hash_ in known},
        neighbours=drawn,
    )


def known_from(about: Mapping[str, Any]) -> Evaluated:
    """What generator.json of a folder that was shared before says."""
    return Evaluated(about["scores"], about["score_protocols"], about["protocols"])


def licence_for(asked: str | None, inherited: str | None) -> str:
    """The terms that a generator is shared under.

    Args:
        asked: as on the command line; None takes the inherited one.
        inherited: of the weights that it comes of, where those were imported.
    Raises:
        ValueError: none is known, it says nothing to others, or another one is inherited.
    """
    if inherited == OWN:
        inherited = None
    if asked is None and inherited is not None:
        return inherited
    if asked is None:
        raise ValueError(
            "licence=... is needed: what you allow others to do with these weights. Known are "
            f"{', '.join(name for name in KNOWN if name not in NO_NAME_ON_HUB)}; any other is given in words, "
            "licence='...'. Of pictures that are not yours, ask what their makers allow"
        )
    given = terms(asked)
    if given == OWN:
        raise ValueError(
            f"licence={asked} tells others nothing that they may do; give one that does, licence=cc-by-4.0 for example"
        )
    if inherited is not None and given != inherited:
        raise ValueError(
            f"licence={asked} would replace what these weights come with, and what is made of them keeps it: "
            f"{inherited}. Leave licence out"
        )
    return given


def card(
    *,
    title: str,
    licence: str,
    config: Mapping[str, Any],
    about: Mapping[str, Any],
    found: Evaluated,
    kind: str,
    grid: bool,
    neighbours: bool,
    page: bool,
) -> str:
    """README.md of a shared generator.

    Args:
        title: one line.
        licence: see `licence_for`.
        config: what is left of the run's, see `gan_lab.sharing.config`.
        about: what generator.json says.
        found: see `evaluated`.
        kind: "latents", "labels", "pictures" or "points": what it makes pictures of, or that it makes points.
        grid, neighbours, page: whether these pictures, and the page that runs the generator, lie beside it.
    """
    model = str(config["model"]["_target_"]).rsplit(".", 1)[-1]
    parts = [
        f"---\n{yaml.safe_dump(front_matter(licence, kind, model), sort_keys=False, allow_unicode=True)}---",
        f"# {plain_text(title)}",
        f"A generator {origin(about, plain_text(model), imported=not config.get('data'))}.",
    ]
    if grid:
        parts.append("![samples](grid.png)")
    if page:
        parts.append("[generator.html](generator.html) makes pictures in a browser: save it, and open the file.")
    parts += ["## How to load it", loading(kind), "## Data", *data_lines(config, found), "## Scores"]
    parts += list(score_lines(found))
    parts += [
        "## Copies of training pictures",
        *copies_lines(found, neighbours),
        "## Licence",
        plain_text(licence) + ".",
    ]
    parts += [
        "## Files",
        "`manifest.json` has the SHA-256 of every file. The digest of the weights themselves, which pictures made by "
        f"them carry in their metadata, is `{about['weights_sha256']}`. PNGs of gan_lab say in their metadata that a "
        "trained model made them; anybody can remove that, so a picture without it may be generated, too.",
    ]
    return "\n\n".join(parts) + "\n"


def front_matter(licence: str, kind: str, model: str) -> dict[str, Any]:
    """What the Hub reads: its names of the licence and of what the model is for, where it has any."""
    name = next((name for name, line in KNOWN.items() if line == licence), None)
    if name is None or name in NO_NAME_ON_HUB:
        matter: dict[str, Any] = {"license": "other", "license_name": name or "see-below", "license_link": "README.md"}
    else:
        matter = {"license": name}
    matter["library_name"] = "gan_lab"
    task = {"latents": "unconditional-image-generation", "pictures": "image-to-image"}.get(kind)
    task = "unconditional-image-generation" if kind == "labels" else task  # the Hub has no nearer one
    if task is not None:
        matter["pipeline_tag"] = task
    further = ["class-conditional"] if kind == "labels" else []
    return matter | {"tags": list(dict.fromkeys(["gan", "gan_lab", model.lower(), *further]))}


def origin(about: Mapping[str, Any], model: str, *, imported: bool) -> str:
    """Who trained it, how long, and which weights these are."""
    if imported and not about["images_seen"]:
        return f"whose weights were trained elsewhere, and imported with {SOFTWARE} for its {model}"
    kind = "averaged" if about["weights"] == "ema" else "as they were, since the recipe averages none,"
    began = ", from other weights on" if about["started_from_others"] else ""
    length = f"{about['images_seen'] / 1000:g} thousand images seen in training{began}"
    return f"trained with {SOFTWARE}: {model}, of {length}; its weights {kind}".rstrip(",")


def loading(kind: str) -> str:
    """A paragraph with commands that use the folder."""
    use = {
        "pictures": "python -m gan_lab.translate checkpoint=DIR sources=PICTURES",
        "points": "python -m gan_lab.sample checkpoint=DIR",
    }.get(kind, "python -m gan_lab.sample checkpoint=DIR count=64 seed=0")
    return (
        "With gan_lab installed (the distribution gan-lab-platform) and this folder as DIR, whose tensors and plain "
        f"values run no code of their own:\n\n```bash\n{use}\n```\n\n"
        "```python\nfrom gan_lab.checkpoint import load_generator\n\nloaded = load_generator('DIR')\n"
        "loaded.network  # a torch module in eval mode\n```"
    )


def data_lines(config: Mapping[str, Any], found: Evaluated) -> list[str]:
    """What it was trained on: name, number, size and digest, as far as they are known; never where it lay."""
    data = config.get("data") or {}
    trained = found.reference("train")
    lines = [f"- name: {plain_text(str(data.get('name', 'not known')))}"]
    fewer = data.get("limit") or data.get("subset")
    if "count" in trained or fewer:
        lines.append(f"- pictures: {min(filter(None, (trained.get('count'), fewer))):,}")
    if data.get("sample_shape"):
        channels, *size = data["sample_shape"]
        lines.append(f"- size: {'x'.join(map(str, size))}, {channels} channels" if size else f"- size: {channels}")
    if "content" in trained:
        lines.append(f"- digest of what it was scored against, split train: `{plain_text(str(trained['content']))}`")
    return ["\n".join(lines)]


def score_lines(found: Evaluated) -> Iterator[str]:
    """A table of scores, and what their protocols are."""
    if not found.scores:
        yield "None are known of these weights; `python -m gan_lab.evaluate checkpoint=DIR` makes some."
        return
    rows = ["| Score | Value | Samples | Against | Protocol |", "| --- | --- | --- | --- | --- |"]
    for name, value in found.scores.items():
        protocol = found.protocols.get(found.hashes[name], {})
        samples = (protocol.get("fakes") or {}).get("count", "")
        reference = protocol.get("reference") or {}
        against = f"{reference['count']:,} of {reference['data']}, {reference['split']}" if reference else ""
        cells = [name, f"{value:.6g}", str(samples), against, found.hashes[name]]
        rows.append(f"| {' | '.join(map(plain_text, cells))} |")
    yield "\n".join(rows)
    yield (
        "Scores are comparable where the hashes of their protocols are equal; `generator.json` holds the protocols in "
        "full."
    )


def copies_lines(found: Evaluated, neighbours: bool) -> list[str]:
    """What is known of samples that are training pictures; scores against others say nothing of them."""
    copies = {
        name: value
        for name, value in found.scores.items()
        if name.startswith("authpct")
        and (found.protocols.get(found.hashes[name], {}).get("reference") or {}).get("split") == "train"
    }
    lines = []
    for name, value in copies.items():
        reference = found.protocols[found.hashes[name]]["reference"]
        against = f"{reference['count']:,} pictures of {reference['data']}, {reference['split']}"
        if name.endswith("_identical"):
            said = f"{value:.4g} % of the samples equal a picture of it in all pixels"
        elif name.endswith("_distance"):
            said = f"a sample is {value:.4g} from its nearest picture on average"
        else:
            said = f"{value:.4g} % are farther from their nearest picture than that is from its own nearest other"
        lines.append(f"- {plain_text(name)}: {said} ({plain_text(against)})")
    pictures = ["![samples and the training pictures nearest to them](neighbours.png)"] if neighbours else []
    if not lines:
        return ["Not measured: no score says whether samples are copies of training pictures.", *pictures]
    said = "They say how near samples are to the training pictures, and prove no absence of copies."
    return ["\n".join(lines), said, *pictures]


def plain_text(text: str) -> str:
    """Words that Markdown and HTML take as they are, in one line."""
    line = " ".join(text.split())
    for character in "\\`*<>|[]":
        line = line.replace(character, f"\\{character}" if character != "<" else "&lt;")
    return line
