"""Heads that compare patches: features of an encoder at some places, brought to a common sphere."""

from collections.abc import Sequence

from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional


class PatchProjection(nn.Module):
    """The two-layer heads of CUT (Park et al. 2020), one for each level of features.

    Args:
        widths: Channels of the levels.
        size: Channels of what comes out.
    """

    def __init__(self, widths: Sequence[int], size: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(width, size), nn.ReLU(), nn.Linear(size, size)) for width in widths
        )

    def forward(
        self, levels: Sequence[Float[Tensor, "b _ _ _"]], places: Sequence[Int64[Tensor, "b n"]]
    ) -> list[Float[Tensor, "b n c"]]:
        """Project features to vectors of length 1.

        Args:
            levels: Features, (B, widths[l], H_l, W_l).
            places: Which pixels of each level, as v * W_l + u.
        """
        projected = []
        for head, features, chosen in zip(self.heads, levels, places, strict=True):
            patches = features.flatten(2).transpose(1, 2)
            picked = patches.gather(1, chosen[:, :, None].expand(-1, -1, patches.shape[2]))
            projected.append(functional.normalize(head(picked).float(), dim=2))
        return projected
