"""What all translators that learn share: what a step's batch may decide, and what the generator is shown."""

import torch

from drrkit.learning.fabric import make_fabric
from styletransfer.methods.paired import Paired, PairedSettings
from styletransfer.networks.generator import Generator, with_details
from styletransfer.scale import Scale
from styletransfer.translator import Batch

SETTINGS = {
    "generator": {"widths": [8, 16], "normalization": "batch"},
    "optimizer": {
        "learning_rate": 4e-3,
        "kernel_learning_rate": 0.02,
        "discriminator_learning_rate": 1e-3,
        "weight_decay": 0.0,
        "gradient_clip": 1.0,
        "ema_decay": 0.9,
    },
    "channels_last": False,
    "pairs": {"pixels": 1.0, "gradients": 0.0, "bone_edges": 0.0, "scales": 1},
    "adversarial": 0.0,
    "discriminator": {"widths": [8], "normalization": "none"},
}


def learner() -> Paired:
    torch.manual_seed(0)
    made = Paired(PairedSettings.model_validate(SETTINGS), Scale(0.0, 1.0, 1.0))
    made.set_up(make_fabric("cpu", "32", 1))
    return made


def batch(level: float) -> Batch:
    real = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(1)) + level
    return Batch(real, 0.5 * real, torch.ones_like(real, dtype=torch.bool))


def statistics(translator: Paired) -> torch.Tensor:
    network = translator.generators["synthetic_from_real"]
    return torch.cat([buffer.flatten().float() for buffer in network.buffers() if buffer.is_floating_point()])


def test_batches_move_the_statistics_until_the_translator_settles():
    translator = learner()
    before = statistics(translator)
    translator.optimize(batch(1.0), 1.0)
    moved = statistics(translator)
    assert not torch.equal(before, moved)
    translator.settle()
    losses = translator.optimize(batch(5.0), 1.0)
    assert torch.equal(statistics(translator), moved)
    assert torch.isfinite(losses["loss"])


def test_a_settled_translator_stays_so_when_it_is_resumed():
    translator = learner()
    translator.optimize(batch(1.0), 1.0)
    translator.settle()
    other = learner()
    other.load_state(translator.state())
    settled = statistics(other)
    other.optimize(batch(5.0), 1.0)
    assert torch.equal(statistics(other), settled)


def test_settled_losses_are_those_of_translating():
    translator = learner()
    shown = batch(1.0)
    for _ in range(40):
        translator.optimize(shown, 1.0)
    translator.settle()
    network = translator.generators["synthetic_from_real"]
    translator.average.module.load_state_dict(network.state_dict())
    # A rate of zero changes no weight, so what is translated is what was judged.
    loss = float(translator.optimize(shown, 0.0)["loss"])
    made = translator.synthetic_from_real(shown.real)
    assert abs(loss - float((made - shown.synthetic).abs().mean())) < 1e-4


def test_details_tell_a_faint_edge_and_nothing_of_a_flat_image():
    flat = torch.full((1, 1, 40, 40), 3.0)
    assert float(with_details(flat)[:, 1:].abs().max()) < 1e-4
    edge = flat.clone()
    edge[..., 20:] += 0.01
    details = with_details(edge)[:, 1:]
    assert float(details[..., 20].min()) > 0.02
    assert float(details[..., 19].max()) < -0.02
    assert float(details[..., :8].abs().max()) < 1e-3


def test_nothing_beyond_the_reach_of_a_pixel_decides_on_it():
    torch.manual_seed(0)
    generator = Generator([4, 4, 4], "none").double().eval()
    image = torch.rand(1, 1, 96, 96, dtype=torch.float64)
    reach = generator.reach_px
    far = image.clone()
    far[..., 48 + reach + 1 :] += 1.0
    near = image.clone()
    near[..., 48 + reach // 2] += 1.0
    with torch.no_grad():
        made, unchanged, changed = (generator(one)[..., :49] for one in (image, far, near))
    assert torch.equal(made, unchanged)
    assert not torch.equal(made, changed)
