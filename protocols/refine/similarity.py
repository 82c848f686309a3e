"""Gradient correlation in torch: the same measure as ``drrkit.metrics.gradient_ncc``, differentiable."""

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

# Both of the directions' derivatives, as scipy.ndimage.sobel takes them (rows, then columns).
SOBEL = torch.tensor([[[-1.0, -2, -1], [0, 0, 0], [1, 2, 1]], [[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]])
# Line integrals of an X-ray are some units; derivatives below this are rounding, not edges.
NO_EDGE = 1e-6
# Residuals are averaged over a Gaussian neighborhood of this size; places are doubted whose residual is more than so
# many times the usual.
NEIGHBORHOOD_PX = 1.5
DISTRUST_FROM = 1.0


class GradientNcc:
    """How well the edges of an image lie on those of a fixed one, inside a mask.

    Args:
        fixed: (H, W) image.
        mask: (H, W) bool; pixels count whose 3 x 3 neighborhood lies inside.
        blur_px: Standard deviation of a Gaussian that blurs both images first; 0 for none.
        device: Of torch.
    """

    def __init__(self, fixed: Float[np.ndarray, "h w"], mask: Bool[np.ndarray, "h w"], blur_px: float, device: str):
        self._blur = gaussian(blur_px).to(device)
        inside = ndimage.binary_erosion(mask, np.ones((3, 3)))
        self.pixels = int(inside.sum())
        self._shape = inside.shape
        self._inside = torch.from_numpy(np.flatnonzero(inside)).to(device)
        self._weights = torch.full((self.pixels,), 1 / max(self.pixels, 1), device=device)
        self._fixed = self._derivatives(torch.as_tensor(fixed, dtype=torch.float32, device=device))

    def __call__(self, moving: Float[Tensor, "h w"]) -> Float[Tensor, ""]:
        """Return -1 to 1; a direction in which an image has no edges counts as 0."""
        fixed, moved = self._centered(self._fixed), self._centered(self._derivatives(moving))
        norms = ((self._weights * fixed**2).sum(dim=1) * (self._weights * moved**2).sum(dim=1)).clamp(min=1e-30).sqrt()
        return ((self._weights * fixed * moved).sum(dim=1) / norms).mean()

    def sees_edges(self, moving: Float[Tensor, "h w"]) -> bool:
        """Whether both images have edges to compare."""
        if self.pixels == 0:
            return False
        derivatives = (self._centered(self._fixed), self._centered(self._derivatives(moving)))
        return all(float(values.abs().max()) > NO_EDGE for values in derivatives)

    def distrust(self, moving: Float[Tensor, "h w"]) -> None:
        """Give less weight from now on to places where the fixed image has edges that the moving one cannot explain.

        Gas, tools and other soft tissue are not in the bone. Residuals of the best linear fit of the derivatives are
        averaged over a neighborhood r^2, and weighed by Cauchy's 1 / (1 + r^2 / (c^2 median r^2)).
        """
        fixed, moved = self._centered(self._fixed), self._centered(self._derivatives(moving))
        gains = (fixed * moved).sum(dim=1, keepdim=True) / (moved**2).sum(dim=1, keepdim=True).clamp(min=1e-30)
        squared = ((fixed - gains * moved) ** 2).sum(dim=0)
        window = gaussian(NEIGHBORHOOD_PX).to(squared)
        sums = []
        for values in (squared, torch.ones_like(squared)):
            image = torch.zeros(self._shape, dtype=squared.dtype, device=squared.device)
            image.view(-1)[self._inside] = values
            sums.append(smooth(image, window).view(-1)[self._inside])
        local = sums[0] / sums[1]
        weights = 1 / (1 + local / (DISTRUST_FROM**2 * local.median()).clamp(min=1e-30))
        self._weights = weights / weights.sum()

    def _derivatives(self, image: Float[Tensor, "h w"]) -> Float[Tensor, "2 n"]:
        """Derivatives at the pixels that count, along rows and along columns."""
        edges = functional.conv2d(smooth(image, self._blur)[None, None], SOBEL.to(image)[:, None], padding=1)
        return edges[0].flatten(start_dim=1)[:, self._inside]

    def _centered(self, derivatives: Float[Tensor, "2 n"]) -> Float[Tensor, "2 n"]:
        return derivatives - (self._weights * derivatives).sum(dim=1, keepdim=True)


def smooth(image: Float[Tensor, "h w"], window: Float[Tensor, " k"]) -> Float[Tensor, "h w"]:
    """Convolve rows and columns with a window of odd length; the border is repeated outward."""
    reach = len(window) // 2
    if reach == 0:
        return image
    pixels = functional.pad(image[None, None], (reach, reach, reach, reach), mode="replicate")
    pixels = functional.conv2d(pixels, window.to(image)[None, None, :, None])
    return functional.conv2d(pixels, window.to(image)[None, None, None, :])[0, 0]


def gaussian(sigma_px: float) -> Float[Tensor, " k"]:
    """Sample a normalized Gaussian; a single 1 where sigma is 0."""
    if sigma_px == 0:
        return torch.ones(1)
    reach = int(np.ceil(3 * sigma_px))
    weights = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma_px) ** 2)
    return weights / weights.sum()
