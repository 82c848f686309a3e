"""Building blocks of generators. In use, nothing here looks at a whole image: a pixel is decided by its surroundings.

Instance normalization, the habit of style transfer, takes its mean and deviation over the image: a tile would come out
otherwise than the whole, and what stands in one corner would change another. Batch normalization uses, once trained,
the same numbers for every image.
"""

from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from drrkit.errors import InputError

Normalization = Literal["batch", "none"]


class ConvBlock(nn.Module):
    """Convolution, normalization, SiLU.

    Raises:
        InputError: An unknown normalization.
    """

    def __init__(self, inputs: int, outputs: int, normalization: Normalization, stride: int = 1) -> None:
        super().__init__()
        if normalization not in ("batch", "none"):
            raise InputError("generator, normalization", repr(normalization), "batch or none")
        self.conv = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=normalization == "none")
        self.norm = nn.BatchNorm2d(outputs) if normalization == "batch" else nn.Identity()
        self.activation = nn.SiLU(inplace=True)

    def forward(self, x: Float[Tensor, "b i h w"]) -> Float[Tensor, "b o h2 w2"]:
        """Apply the block."""
        return self.activation(self.norm(self.conv(x)))
