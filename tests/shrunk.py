"""What goes with each choice of a model or a network, and how small all of it can be made."""

import re
from functools import cache

from conftest import ROOT
from hydra import compose, initialize_config_dir
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf

from gan_lab.config import register

# Height and width; others take 32, or the number in their name.
SMALLEST = {"dcgan": 16, "dcgan_small": 16, "mlp": 16, "sagan": 16, "biggan": 16, "fastgan": 64, "fastgan512": 64}
SMALLEST |= {"projected_gan": 64, "projected_gan_lite": 64}
# What judges the features of an extractor, here of one whose weights are at hand: network -> its model.
PROJECTED = dict.fromkeys(("projected_gan", "projected_gan_lite", "projected_stylegan2"), "projected_gan")
FEATURES = "extractor@model.discriminator.features=digitnet"


# What makes pictures of pictures, with what it is tried: model -> its network, and what is made of the images. Others
# take the first; a network takes the first model that is tried with it.
TRANSLATION = {
    "pix2pix": ("unet_translator", ["condition=outline"]),
    "cyclegan": ("resnet_translator", ["condition=inverted_unpaired"]),
    "cut": ("resnet_translator", ["condition=inverted_unpaired"]),
    "fastcut": ("resnet_translator", ["condition=inverted_unpaired"]),
    "srgan": ("srresnet", ["condition=downsampled", "extractor@model.perceptual=digitnet"]),
    "esrgan": ("rrdb", ["condition=downsampled", "extractor@model.perceptual=digitnet"]),
    "context_encoder": ("context_encoder", ["condition=masked_centre"]),
    "gated_inpainting": ("gated", ["condition=masked_box"]),
    "comodgan": ("comodgan", ["condition=masked_strokes"]),
}


def partner(group: str, name: str) -> list[str]:
    """For a model the network of its name, and for a network the model, where there is one: `network=biggan64`.

    For those of pictures made from pictures see `TRANSLATION`.
    """
    if makes_pictures_of_pictures(group, name):
        return _translation_partner(group, name)
    if name in PROJECTED:
        return [f"network={name}" if group == "model" else f"model={PROJECTED[name]}", FEATURES]
    other = {"model": "network", "network": "model"}[group]
    for candidate in (name, re.sub(r"_?\d+$", "", name)):
        if (ROOT / "conf" / other / f"{candidate}.yaml").is_file():
            return [f"{other}={candidate}"]
    return []


def _translation_partner(group: str, name: str) -> list[str]:
    usual = next(iter(TRANSLATION))
    if group == "model":
        network, sources = TRANSLATION.get(name, TRANSLATION[usual])
        return [f"network={network}", *sources]
    model = next((model for model, (network, _) in TRANSLATION.items() if network == name), usual)
    return [f"model={model}", *TRANSLATION[model][1]]


def makes_pictures_of_pictures(group: str, name: str) -> bool:
    """Whether there is a model or a network of that name and it is of translation, as its file says."""
    path = ROOT / "conf" / group / f"{name}.yaml"
    if not path.is_file():
        return False
    node = OmegaConf.load(path)
    if group == "network":
        return "condition_shape" in node.generator
    return any("translation" in str(entry) for entry in node.get("defaults", []))


@cache
def composed(*overrides: str) -> DictConfig:
    """The train command's config of these, with Hydra's own node; not to be changed."""
    register()
    with initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "conf")):
        return compose("train", list(overrides), return_hydra_config=True)


def shrunk(overrides: list[str]) -> list[str]:
    """Further overrides that make images and networks of these choices small."""
    config = composed(*overrides)
    network = config.hydra.runtime.choices["network"]
    nodes = {
        name: node
        for name, node in config.model.items_ex(resolve=False)
        if OmegaConf.is_dict(node) and not OmegaConf.is_interpolation(config.model, name)
    }
    in_name = re.search(r"(64|128|256)", network)
    size = int(in_name[1]) if in_name else SMALLEST.get(network, 32)
    groups = [f"model.{name}.minibatch_std=4" for name, node in nodes.items() if (node.get("minibatch_std") or 0) > 4]
    depths = [f"model.{name}.depth=2" for name, node in nodes.items() if "depth" in node and not node.get("dropout")]
    widths = [f"model.{name}.width=4" for name, node in nodes.items() if "width" in node]
    sizes = [
        f"model.{name}.{key}" for name, node in nodes.items() if "growth" in node for key in ("blocks=1", "growth=2")
    ]
    sizes += [
        f"model.{name}.blocks=2"
        for name, node in nodes.items()
        if "blocks" in node and "condition_shape" in node and "growth" not in node
    ]
    sizes += [f"model.{name}.least_size=32" for name, node in nodes.items() if "least_size" in node]
    return [
        *([f"data.image_size={size}"] if "image_size" in config.data else []),
        *widths,
        *depths,
        *sizes,
        *groups,
        f"data.batch_size={4 if size >= 128 else 16}",
    ]


def groups_of(model: str) -> list[str]:
    """The groups of networks that a model steps."""
    target = OmegaConf.load(ROOT / "conf" / "model" / f"{model}.yaml")._target_
    return list(get_class(target).groups)
