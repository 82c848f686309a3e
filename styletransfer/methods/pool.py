"""A history of made images: a discriminator that sees old ones too cannot chase the generator in circles."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from drrkit.errors import InputError


class ImagePool:
    """The history of Shrivastava et al. 2017, as CycleGAN uses it.

    What it draws comes from torch's global generator on the processor, which a training seeds at every step: the same
    step draws the same. Each process of a training has its own pool.

    Args:
        size: How many images are kept; 0 for none, then images pass through.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.images: list[Tensor] = []

    def exchange(self, images: Tensor) -> Tensor:
        """Return as many images: until the pool is full these, then half of them, and old ones for the other half.

        An image that is given away makes room for the one that came.

        Args:
            images: (B, C, H, W), of one size in all calls; without gradients they are kept, and returned.
        """
        images = images.detach()
        if self.size == 0:
            return images
        given = []
        for image in images:
            if len(self.images) < self.size:
                self.images.append(image.clone())
                given.append(image)
            elif float(torch.rand(())) < 0.5:
                place = int(torch.randint(self.size, ()))
                given.append(self.images[place])
                self.images[place] = image.clone()
            else:
                given.append(image)
        return torch.stack(given)

    def state(self) -> dict[str, Any]:
        """Return the images that are kept."""
        return {"size": self.size, "images": [image.cpu() for image in self.images]}

    def load_state(self, state: Mapping[str, Any], device: torch.device | str = "cpu") -> None:
        """Take over what :meth:`state` returned.

        Raises:
            InputError: The state of a pool of another size.
        """
        if state["size"] != self.size:
            raise InputError("image pool", f"a state of {state['size']} images", f"one of {self.size}")
        self.images = [image.to(device) for image in state["images"]]
