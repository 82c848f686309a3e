"""One door decides where a training runs; a fault in any process arrives as the error that it is."""

import os

import pytest
import torch

from drrkit.errors import InputError
from drrkit.learning.fabric import fastest_device, launch, make_fabric


def fault_of_the_second(fabric):
    ranks = float(fabric.all_reduce(torch.tensor(float(fabric.global_rank)), reduce_op="sum"))
    if fabric.global_rank == 1:
        raise InputError("ranks", ranks, "another sum")
    fabric.barrier()


def test_one_process_is_called_here():
    fabric = make_fabric("cpu", "32", 1)
    assert launch(fabric, lambda own: (own is fabric, os.getpid())) == (True, os.getpid())


def test_processes_share_and_a_fault_of_the_second_arrives_as_it_is():
    with pytest.raises(InputError, match=r"ranks: found 1\.0; wanted another sum"):
        launch(make_fabric("cpu", "32", 2), fault_of_the_second)
    # The next training takes a new port.
    assert "MASTER_PORT" not in os.environ


def test_bfloat16_is_for_products_and_weights_stay_whole():
    fabric = make_fabric("cpu", "bf16", 1)
    layer = fabric.setup(torch.nn.Linear(2, 2))
    assert layer.weight.dtype == torch.float32
    with fabric.autocast():
        assert (torch.ones(1, 2) @ layer.weight).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("cuda:77", "32", 1), "device"),
        (("toaster", "32", 1), "device"),
        (("meta", "32", 1), "device"),
        (("cpu", "16", 1), "precision: found '16'; wanted 32 or bf16"),
        (("cpu", "32", 0), "processes"),
    ],
)
def test_what_there_is_not_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        make_fabric(*arguments)


def test_the_fastest_device_is_one_that_a_fabric_takes():
    device = fastest_device()
    assert device == ("cuda" if torch.cuda.is_available() else "cpu")
    assert make_fabric(device, "32", 1).device.type == device
