"""The discriminator of all adversarial methods: it judges patches, not images."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from drrkit.errors import InputError

Normalization = Literal["none", "instance", "spectral"]

_SLOPE = 0.2


class PatchDiscriminator(nn.Module):
    """PatchGAN (Isola et al. 2017): one verdict for each of many overlapping patches, 1 = of the domain, 0 = made.

    Kernels of 4 px halve the image once for each width, with leaky ReLU; a kernel of 3 px gives the verdict. Of three
    widths each verdict is on 38 x 38 px.

    Args:
        widths: Channels after each halving, one or more. Multiples of 16 are fast.
        normalization: ``spectral`` (Miyato et al. 2018) bounds what every layer can amplify and costs almost nothing;
            ``instance`` is that of the original (all but the first layer, over the image, so the verdict depends on all
            of it); ``none``.
        channels: Of the input: 1; 2 to judge an image beside the one that it was made of, as pix2pix does.

    Raises:
        InputError: No widths, or an unknown normalization.
    """

    def __init__(self, widths: Sequence[int], normalization: Normalization, channels: int = 1) -> None:
        super().__init__()
        if not widths:
            raise InputError("discriminator, widths", "none", "one or more")
        if normalization not in ("none", "instance", "spectral"):
            raise InputError("discriminator, normalization", repr(normalization), "none, instance or spectral")
        self.normalization = normalization
        self.layers = nn.ModuleList(
            nn.Conv2d(before, after, 4, stride=2, padding=1) for before, after in pairwise([channels, *widths])
        )
        self.head = nn.Conv2d(widths[-1], 1, 3, padding=1)
        if normalization == "spectral":
            for layer in (*self.layers, self.head):
                spectral_norm(layer)

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 1 h2 w2"]:
        """Judge images; height and width are multiples of 2 to the number of widths."""
        x = images
        for number, layer in enumerate(self.layers):
            x = layer(x)
            if number and self.normalization == "instance":
                x = functional.instance_norm(x)
            x = functional.leaky_relu(x, _SLOPE)
        return self.head(x)
