"""Config files and interpolations are parsed once per process: Hydra reads some thirty files for each command."""

import functools
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf, _utils, base, grammar_parser

_parse = OmegaConf.load
_known: dict[str, Any] = {}


def load(file: Any) -> DictConfig | ListConfig:
    """`OmegaConf.load`; what it makes is a function of the text alone, which is therefore what is remembered."""
    if isinstance(file, (str, Path)):
        with open(file, encoding="utf-8") as opened:
            return load(opened)
    place = file.tell()
    text = file.read()
    if text not in _known:
        file.seek(place)  # the message of a mistake names the file
        _known[text] = OmegaConf.to_container(_parse(file))
    known = _known[text]
    return OmegaConf.create() if known is None else OmegaConf.create(known)


def install() -> None:
    OmegaConf.load = staticmethod(load)
    parse = functools.cache(grammar_parser.parse)  # its trees are only read
    for module in (grammar_parser, _utils, base):
        module.parse = parse
