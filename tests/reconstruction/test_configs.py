"""The parameters that ship beside the code fit their models, and networks of those sizes can be built."""

from pathlib import Path

import pytest
import torch

import reconstruction
from drrkit.parameters import read_parameters
from reconstruction.learning.freezing import PARTS
from reconstruction.learning.lessons import FinetuneParameters, LearningParameters, spec_from_parameters
from reconstruction.weights import build_network

CONFIGS = Path(reconstruction.__file__).parent / "configs"
PIPELINE = Path(__file__).parents[2] / "params.yaml"


@pytest.mark.parametrize(
    ("section", "path"),
    [
        ("vertebra", CONFIGS / "paper.yaml"),
        ("lumbar", CONFIGS / "paper.yaml"),
        ("pretrain.models.lumbar", PIPELINE),
        ("counterpart.models.vertebra", PIPELINE),
        ("counterpart.models.kasten", PIPELINE),
        ("counterpart.models.permute-concat", PIPELINE),
    ],
)
def test_a_network_can_be_built_and_its_grid_fits(section, path):
    parameters = read_parameters(section, LearningParameters, path)
    with torch.device("meta"):  # shapes only: a network of the paper's size costs nothing
        network = build_network(spec_from_parameters(parameters, []))
    assert all(size % network.grid_multiple == 0 for size in parameters.grid.shape)
    window_px = parameters.window.size_px
    if "voxel_px" in parameters.settings:
        assert parameters.settings["voxel_px"] == parameters.grid.spacing_mm / parameters.window.pixel_mm
    else:
        assert all(size % network.encoder.image_multiple == 0 for size in window_px)


def test_fine_tuning_names_a_part():
    assert read_parameters("finetune", FinetuneParameters, CONFIGS / "finetune.yaml").freeze in PARTS
