"""Parts of a network that learn nothing: by name, because transfer learning asks which part must adapt."""

from collections.abc import Mapping
from types import MappingProxyType

from torch import nn

from drrkit.errors import InputError

# name -> what stays as it was, as beginnings of parameter names. "!" turns it round: all but these.
PARTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "nothing": (),
        "encoder": ("encoder.",),
        "3d": ("fusion.", "unet."),
        "all-but-encoder": ("!", "encoder."),
        "all-but-head": ("!", "unet.head."),
    }
)


def freeze(network: nn.Module, part: str) -> tuple[str, ...]:
    """Keep a part of a network as it is: its weights get no gradient.

    Its batch statistics and dropout are kept still by :func:`set_training`.

    Args:
        network: With the parts of x23d: ``encoder``, ``fusion``, ``unet`` and in it ``head``.
        part: ``nothing``; ``encoder`` (2D); ``3d`` (fusion and 3D U-Net, so that only the eyes adapt);
            ``all-but-encoder`` (the same, whatever else a network has); ``all-but-head`` (only the last layer learns).

    Returns:
        Names of the weights that learn.

    Raises:
        InputError: An unknown part, a network without it, or one in which nothing is left to learn.
    """
    if part not in PARTS:
        raise InputError("part to freeze", repr(part), " or ".join(PARTS))
    turned = PARTS[part][:1] == ("!",)
    prefixes = PARTS[part][1:] if turned else PARTS[part]
    names = [name for name, _ in network.named_parameters()]
    for prefix in prefixes:
        # A fusion by mean and spread has no weights, and that is fine; a network without such a part is not.
        if not any(f"{name}.".startswith(prefix) for name, _ in network.named_modules()):
            raise InputError(f"part to freeze, {part}", f"a network without {prefix[:-1]}", "another part")
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name.startswith(prefixes) == turned if prefixes else True)
    learning = tuple(name for name, parameter in network.named_parameters() if parameter.requires_grad)
    if not learning:
        raise InputError(f"part to freeze, {part}", f"all {len(names)} weights frozen", "a part that leaves some")
    return learning


def set_training(network: nn.Module) -> None:
    """Set training mode, but keep modules without learning weights in eval mode: their batch statistics stay."""
    network.train()
    for module in network.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            module.eval()
