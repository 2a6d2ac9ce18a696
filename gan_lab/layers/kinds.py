"""Which modules of torch hold the weights of a network, so that what walks a network passes over none in silence."""

from torch import nn
from torch.nn.utils.parametrize import ParametrizationList

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED_CONVOLUTIONS = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
LINEAR_MAPS = (nn.Linear, *CONVOLUTIONS, *TRANSPOSED_CONVOLUTIONS)
NORMALIZATIONS = (
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d),
    *(nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d),
    *(nn.GroupNorm, nn.LayerNorm, nn.RMSNorm),
)
TABLES = (nn.Embedding,)


def refuse_unknown_weights(network: nn.Module, what: str) -> None:
    """Weights are parameters of two or more dimensions; those of linear maps, normalizations and tables are known.

    A module names those of its own parameters that are no layer's, such as a learnt input, in `learnt_inputs`.

    Args:
        what: the setting that is for linear maps alone, as the message begins.
    Raises:
        ValueError: `network` has other weights, which it names.
    """
    unknown = [
        f"{f'{path}.' if path else ''}{name} ({type(module).__name__})"
        for path, module in network.named_modules()
        if not isinstance(module, (*LINEAR_MAPS, *NORMALIZATIONS, *TABLES, ParametrizationList))
        for name, parameter in module.named_parameters(recurse=False)
        if parameter.ndim >= 2 and name not in getattr(module, "learnt_inputs", ())
    ]
    if unknown:
        raise ValueError(
            f"{what} is for linear layers and convolutions, and {type(network).__name__} has weights of another kind, "
            f"which it would pass over: {', '.join(unknown)}; make this network of layers that it knows, name inputs "
            "among them in the module's learnt_inputs, or leave the setting out"
        )
