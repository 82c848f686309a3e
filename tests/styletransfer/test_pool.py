import pytest
import torch

from drrkit.errors import InputError
from styletransfer.methods.pool import ImagePool


def images(*values: float):
    return torch.tensor(values).reshape(-1, 1, 1, 1).expand(-1, 1, 4, 4)


def values(batch):
    return batch[:, 0, 0, 0].tolist()


def test_without_room_images_pass():
    assert values(ImagePool(0).exchange(images(1.0, 2.0))) == [1.0, 2.0]


def test_it_fills_first():
    pool = ImagePool(3)
    assert values(pool.exchange(images(1.0, 2.0))) == [1.0, 2.0]
    assert values(pool.exchange(images(3.0))) == [3.0]
    assert [float(image.mean()) for image in pool.images] == [1.0, 2.0, 3.0]


def test_half_of_the_images_are_old_and_none_is_lost():
    torch.manual_seed(0)
    pool = ImagePool(5)
    given = [values(pool.exchange(images(float(number))))[0] for number in range(205)]
    old = sum(number != got for number, got in enumerate(given))
    assert 70 < old < 130
    kept = [float(image.mean()) for image in pool.images]
    # Every image is either given once and kept, given later, or given and never kept.
    assert len(set(kept)) == 5
    first = given[:5]
    assert sorted(set(given) | set(kept)) == [float(number) for number in range(205)]
    assert first == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_the_same_seed_draws_the_same_and_the_state_goes_on():
    def run(pool, numbers):
        given = []
        for number in numbers:
            torch.manual_seed(number)
            given += values(pool.exchange(images(float(number), number + 0.5)))
        return given

    whole = run(ImagePool(3), range(12))
    pool, resumed = ImagePool(3), ImagePool(3)
    begun = run(pool, range(6))
    resumed.load_state(pool.state())
    assert begun + run(resumed, range(6, 12)) == whole


def test_what_is_kept_has_no_gradient_and_does_not_change_with_its_source():
    pool = ImagePool(2)
    source = images(1.0).clone().requires_grad_()
    assert not pool.exchange(source).requires_grad
    with torch.no_grad():
        source += 1
    assert float(pool.images[0].mean()) == 1.0


def test_a_state_of_another_size_is_refused():
    with pytest.raises(InputError, match="pool"):
        ImagePool(2).load_state(ImagePool(3).state())
