"""A small convolutional translator with fresh weights: a U-Net that halves images twice, whose reach is known."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from drrkit.errors import InputError
from drrkit.parameters import Parameters
from styletransfer.scale import Scale
from styletransfer.translator import Translator

SCALE = Scale(real_center=1.0, real_spread=0.5, synthetic_spread=0.5)


class ToyNet(nn.Module):
    """Two halvings, bilinear resizing back, a skip at full resolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, width, 3, padding=1)
        self.down = nn.ModuleList(nn.Conv2d(width, width, 3, stride=2, padding=1) for _ in range(2))
        self.up = nn.Conv2d(2 * width, width, 3, padding=1)
        self.head = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        fine = functional.silu(self.stem(image))
        coarse = fine
        for down in self.down:
            coarse = functional.silu(down(coarse))
        coarse = functional.interpolate(coarse, scale_factor=4, mode="bilinear", align_corners=False)
        return self.head(functional.silu(self.up(torch.cat([fine, coarse], dim=1))))


class ToyTranslator(Translator):
    """Learns by the absolute difference; keeps the contract."""

    class Settings(Parameters):
        width: int = 8
        rate: float = 0.01

    learning = "pairs"

    def __init__(self, settings: Parameters | None = None, scale: Scale = SCALE, seed: int = 0) -> None:
        super().__init__(settings or self.Settings(), scale)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = ToyNet(self.settings.width)
        # Fresh weights answer with a faint image about 0, most of which would be cut off.
        self.network.head.weight.data.mul_(4)
        self.network.head.bias.data.fill_(1.0)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), self.settings.rate)

    @property
    def reach_px(self) -> int | None:
        return 16

    def _predicted(self, real: Tensor) -> Tensor:
        scaled = (real - self.scale.real_center) / self.scale.real_spread
        return self.network(scaled) * self.scale.synthetic_spread

    def optimize(self, batch, share):
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.rate * share
        loss = (self._predicted(batch.real) - batch.synthetic).abs()[batch.field].mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return {"loss": loss.detach()}

    def synthetic_from_real(self, real: Tensor) -> Tensor:
        if real.shape[-2] % 8 or real.shape[-1] % 8:
            raise InputError("real", tuple(real.shape), "multiples of 8")
        with torch.no_grad():
            return torch.where(real == 0, 0.0, self._predicted(real).float().clamp_min(0))

    def weights(self) -> dict[str, Tensor]:
        return dict(self.network.state_dict())

    def load_weights(self, weights) -> None:
        self.network.load_state_dict(weights)

    def state(self):
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state(self, state) -> None:
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])

    def to(self, device) -> "ToyTranslator":
        self.network.to(device)
        return self


class WholeImageTranslator(ToyTranslator):
    """Subtracts the mean of the image: every pixel decides on every other."""

    @property
    def reach_px(self) -> int | None:
        return None

    def synthetic_from_real(self, real: Tensor) -> Tensor:
        return torch.where(real == 0, 0.0, (real - real.mean()).clamp_min(0))
