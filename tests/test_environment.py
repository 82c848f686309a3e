"""What the locked environment promises."""

import re
from importlib.metadata import distributions
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_exactly_one_opencv_wheel_is_installed():
    # Two wheels would write into the same cv2 folder; albumentations asks for the headless twin (ADR 0004).
    installed = {dist.metadata["Name"].lower() for dist in distributions() if "opencv" in dist.metadata["Name"].lower()}
    assert installed == {"opencv-python"}


def test_lock_pins_by_hash_and_names_no_address():
    lock = (ROOT / "requirements.lock").read_text()
    assert "://" not in lock
    blocks = re.split(r"^(?=[a-z0-9])", lock, flags=re.MULTILINE | re.IGNORECASE)[1:]
    assert len(blocks) > 100
    assert all("--hash=sha256:" in block for block in blocks)
    assert not [block for block in blocks if block.startswith("opencv-python-headless")]


def test_wanted_packages_import():
    import albumentations
    import cv2
    import torch
    import torchvision

    # torchvision's operators only load beside the torch build that they were compiled for.
    boxes = torch.tensor([[0.0, 0, 2, 2], [0, 0, 2, 2]])
    assert torchvision.ops.nms(boxes, torch.tensor([1.0, 0.5]), 0.5).tolist() == [0]
    assert albumentations.__version__
    assert cv2.__version__
