"""The layers of a network, one after the other."""

from torch import nn


def layers_in_order(network: nn.Module) -> dict[str, list[nn.Parameter]]:
    """Name of each layer -> its parameters, in the order in which its modules were registered.

    A layer has a weight of two dimensions or more; what has none, such as a normalization, belongs to the layer before
    it. Where a module is called for its result before one that was registered earlier, this order is not that of use:
    such a network should not offer it.
    """
    owners: dict[str, list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        plain = name.partition(".parametrizations.")[0] if ".parametrizations." in name else name.rpartition(".")[0]
        owners.setdefault(plain, []).append(parameter)
    layers: dict[str, list[nn.Parameter]] = {}
    last = None
    for name, parameters in owners.items():
        if last is not None and all(parameter.ndim < 2 for parameter in parameters):
            layers[last] += parameters
        else:
            layers[name], last = parameters, name
    return layers
