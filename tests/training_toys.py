"""A translator of a few dozen weights, and sessions of small pairs that it can learn from in a second."""

from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from drrkit.geometry.carm import CArm
from drrkit.io.store import write_cameras, write_image, write_mask
from drrkit.learning.optimization import average_of
from drrkit.learning.weights import check_state
from drrkit.parameters import Parameters
from protocols.pairs import CAMERAS_NAME, PairRow, field_path, image_path, write_pairs
from protocols.pairset import PairedSession
from styletransfer import registry
from styletransfer.settings import TranslatorParameters
from styletransfer.translator import Translator

SIDE_PX = 32
SAMPLING = {"batch": 2, "patch_px": None, "mirror": True, "turn_deg": 0.0, "zoom": 0.0, "augmentation": "none"}
PAIRED = {
    "generator": {"widths": (4, 8), "normalization": "none"},
    "channels_last": False,
    "optimizer": {
        "learning_rate": 2e-3,
        "kernel_learning_rate": 0.01,
        "discriminator_learning_rate": 1e-3,
        "weight_decay": 0.0,
        "gradient_clip": 10.0,
        "ema_decay": 0.9,
    },
    "pairs": {"pixels": 1.0, "gradients": 1.0, "bone_edges": 0.5, "scales": 2},
    "adversarial": 0.1,
    "discriminator": {"widths": (4, 8), "normalization": "none"},
}
"""What the method ``paired`` is told for a few thousand weights."""


class ToyLearner(Translator):
    """Two layers that learn from pairs by the absolute difference."""

    learning = "pairs"

    class Settings(Parameters):
        """Width, dropout, and the highest learning rate."""

        width: int
        dropout: float
        rate: float

    def __init__(self, settings, scale):
        super().__init__(settings, scale)
        layers = (nn.Conv2d(1, settings.width, 3, padding=1), nn.ReLU(), nn.Dropout(settings.dropout))
        self.network = nn.Sequential(*layers, nn.Conv2d(settings.width, 1, 3, padding=1))
        self.average = average_of(self.network, 0.9)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), settings.rate)
        self.learner = self.network

    @property
    def reach_px(self):
        return 2

    def set_up(self, fabric):
        self.fabric = fabric
        self.network.to(fabric.device)
        self.average.to(fabric.device)
        self.learner, self.optimizer = fabric.setup(self.network, self.optimizer)

    def _scaled(self, real):
        return (real - self.scale.real_center) / self.scale.real_spread

    def optimize(self, batch, share):
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.rate * share
        self.learner.train()
        loss = functional.l1_loss(self.learner(self._scaled(batch.real)), batch.synthetic / self.scale.synthetic_spread)
        self.fabric.backward(loss)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.average.update_parameters(self.network)
        return {"loss": loss.detach(), "half": loss.detach() / 2}

    @torch.no_grad()
    def synthetic_from_real(self, real):
        translated = self.average.module.eval()(self._scaled(real)) * self.scale.synthetic_spread
        return torch.where(real == 0, 0, translated.clamp_min(0))

    def weights(self):
        return self.average.module.state_dict()

    def load_weights(self, weights):
        check_state(weights, self.average.module, "weights")
        self.average.module.load_state_dict(weights)

    def state(self):
        kept = (self.network, self.average, self.optimizer)
        return dict(zip(("network", "average", "optimizer"), (one.state_dict() for one in kept), strict=True))

    def load_state(self, state):
        for name in ("network", "average", "optimizer"):
            getattr(self, name).load_state_dict(state[name])


class ToyBaseline(Translator):
    """Notes the mean of the DRRs that it is shown, and answers with it."""

    learning = "nothing"

    class Settings(Parameters):
        """Nothing to be told."""

    def __init__(self, settings, scale):
        super().__init__(settings, scale)
        self.sums = torch.zeros(2, dtype=torch.float64)

    @property
    def reach_px(self):
        return 0

    def optimize(self, batch, share):
        self.sums += torch.tensor([batch.synthetic.sum(), batch.synthetic.numel()], dtype=torch.float64)
        return {}

    def synthetic_from_real(self, real):
        return torch.where(real == 0, 0, (self.sums[0] / self.sums[1]).float())

    def weights(self):
        return {"sums": self.sums}

    def load_weights(self, weights):
        check_state(weights, {"sums": self.sums}, "weights")
        self.sums = weights["sums"]

    def state(self):
        return {"sums": self.sums}

    def load_state(self, state):
        self.sums = state["sums"]


def register() -> None:
    """Make ``toy`` and ``toy-baseline`` known, in this process; in tests undo it by ``monkeypatch``."""
    toys = {"toy": ToyLearner, "toy-baseline": ToyBaseline}
    registry.TRANSLATORS = MappingProxyType({**registry.TRANSLATORS, **toys})


class Reports(list):
    """Keeps reports; in a spawned process it makes the toys known first."""

    def __call__(self, report):
        self.append(report)

    def __reduce__(self):
        return _reports_in_new_process, ()


def _reports_in_new_process():
    register()
    return Reports()


def toy_parameters(method: str = "toy", settings=None, subset=None, sampling=None, **training) -> TranslatorParameters:
    told = {"toy": {"width": 4, "dropout": 0.2, "rate": 0.02}, "paired": PAIRED}.get(method, {})
    how = {
        "steps": 12,
        "warmup_steps": 3,
        "settle_at": 0.5,
        "precision": "32",
        "processes": 1,
        "prefetch": 0,
        "seed": 5,
        "log_every": 4,
        "validate_every": 6,
        "validation_pairs": 2,
        "checkpoint_every": 4,
    }
    return TranslatorParameters.model_validate(
        {
            "method": method,
            "settings": told | (settings or {}),
            "subset": {"donors": None, "pairs": None} | (subset or {}),
            "sampling": SAMPLING | (sampling or {}),
            "training": how | training,
        }
    )


def write_session(root: Path, donor_id: str, split: str = "train", views: int = 3, side_px: int = SIDE_PX):
    """Write the pairs of a session: bone as two balls that turn, in a real image as half of it under a soft veil."""
    folder = root / donor_id / "pairs"
    rng = np.random.default_rng(list(donor_id.encode()))
    carm = CArm(1000.0, 600.0, side_px, side_px, (5.0, 5.0))
    cameras, rows = {}, []
    centers_mm = [rng.uniform(-18, 18, 3) for _ in range(2)]
    v, u = np.mgrid[:side_px, :side_px].astype(np.float32)
    for number in range(views):
        name = f"view-{number}"
        camera = carm.camera(25.0 * number, 5.0 * number)
        bone = np.zeros((side_px, side_px), np.float32)
        for center_mm in centers_mm:
            at_u, at_v = camera.project(center_mm)
            bone += np.sqrt(np.maximum(0, 36 - (u - at_u) ** 2 - (v - at_v) ** 2)).astype(np.float32) / 4
        field = (u >= 2) & (u < side_px - 2)
        real = np.where(field, 0.5 * bone + 1 + 0.5 * v / side_px, 0).astype(np.float32)
        hashes = {kind: write_image(folder / image_path(kind, name), pixels) for kind, pixels in _kinds(real, bone)}
        field_sha256 = write_mask(folder / field_path(name), field)
        cameras[name] = camera
        rows.append(_row(donor_id, name, hashes, field_sha256))
    write_cameras(folder / CAMERAS_NAME, cameras)
    write_pairs(folder, rows)
    return PairedSession(f"s-{donor_id}", donor_id, split, "flat-panel", True, folder, root / donor_id / "session")


def _kinds(real, bone):
    return (("real", real), ("drr_bone", bone))


def _row(donor_id: str, name: str, hashes: dict[str, str], field_sha256: str) -> PairRow:
    return PairRow(
        pair_id=f"s-{donor_id}/{name}",
        acquisition_id=f"s-{donor_id}",
        exposure_id=name,
        donor_id=donor_id,
        simulated=True,
        status="pass",
        reason="",
        rating="",
        target_error_mm=None,
        rms_px=None,
        open_field=None,
        open_field_from="",
        boxes={},
        visibility={},
        images_sha256=hashes,
        field_sha256=field_sha256,
        masks_sha256={},
        identity_sha256="",
    )


def toy_sessions(root: Path, test_donor: bool = True) -> list[PairedSession]:
    """Two train donors and one validation donor; no file of the test donor exists, so none can be opened."""
    sessions = [write_session(root, "anna"), write_session(root, "bert"), write_session(root, "carl", "validation")]
    if test_donor:
        gone = root / "dora"
        sessions.append(PairedSession("s-dora", "dora", "test", "flat-panel", True, gone, gone))
    return sessions
