"""What the methods make small. Every loss looks at the inside of the field only, and is computed in float32.

Images are in the scale of networks: 1 is the root mean square of the training set's DRRs.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from drrkit.errors import InputError

# Weights of the neighbors and of the middle along an edge, in Scharr's 3 x 3 kernel (2000).
_SMOOTHING = (3 / 16, 10 / 16)
# A length below this, in gradients of the scaled images, counts as its square: the root of 0 has no slope.
_SMALL = 1e-3


def mean_in_field(values: Float[Tensor, "b 1 h w"], field: Tensor) -> Float[Tensor, ""]:
    """Return the mean of values, each weighted by ``field`` (bool, or a share); 0 if there is none."""
    weights = field.to(torch.float32)
    return (values.float() * weights).sum() / weights.sum().clamp(min=1)


def l1_in_field(
    translated: Float[Tensor, "b 1 h w"], synthetic: Float[Tensor, "b 1 h w"], field: Bool[Tensor, "b 1 h w"]
) -> Float[Tensor, ""]:
    """Return mean |translated - synthetic|, the pixel loss of pix2pix (Isola et al. 2017)."""
    return mean_in_field((translated.float() - synthetic.float()).abs(), field)


def multiscale_gradient(
    translated: Float[Tensor, "b 1 h w"],
    synthetic: Float[Tensor, "b 1 h w"],
    field: Bool[Tensor, "b 1 h w"],
    scales: int,
) -> Float[Tensor, ""]:
    """Return how much gradients differ: the mean over scales s of mean |grad(t_s) - grad(y_s)|_1 / 2.

    t_s and y_s are the images averaged over 2^s x 2^s pixels, so that an edge counts as displaced from further away.
    After the gradient difference loss of Mathieu et al. 2016, with Scharr's derivatives and at several scales, as Li &
    Snavely 2018 do. A gradient counts where all the pixels that it is made of are in the field.

    Args:
        translated: What a generator made.
        synthetic: The DRR of the same camera.
        field: Where the beam fell.
        scales: Dyadic scales, 1 or more; at the coarsest the images must still have 3 x 3 pixels.

    Raises:
        InputError: Images too small for so many scales.
    """
    terms = [
        mean_in_field((made - true).abs().mean(dim=1, keepdim=True), inside)
        for made, true, inside in _gradients(translated, synthetic, field, scales)
    ]
    return torch.stack(terms).mean()


def bone_edge(
    translated: Float[Tensor, "b 1 h w"],
    synthetic: Float[Tensor, "b 1 h w"],
    field: Bool[Tensor, "b 1 h w"],
    scales: int,
) -> Float[Tensor, ""]:
    """Return how badly the bones' edges are met: the mean over scales of sum w |grad t - grad y| / sum w.

    w = |grad y|^2 / (|grad y|^2 + m^2), with m the root mean square of |grad y| in the field: near 1 on strong edges of
    the DRR, near 0 in flat places. |.| is the length of the vector, so that direction counts; sum w is at least 1.
    What makes the surface of a bone, and nothing else, is punished: an edge that is missing, weak or displaced (where
    it should be, the whole gradient is missing). An offset, a shadow, or an invented edge far from bone is left to
    other losses. This project's own.

    Args:
        translated: What a generator made.
        synthetic: The DRR of the same camera.
        field: Where the beam fell.
        scales: As of :func:`multiscale_gradient`.

    Raises:
        InputError: Images too small for so many scales.
    """
    terms = []
    for made, true, inside in _gradients(translated, synthetic, field, scales):
        strength = true.square().sum(dim=1, keepdim=True).detach()
        middle = mean_in_field(strength, inside)
        weights = strength / (strength + middle).clamp(min=_SMALL**2) * inside
        lengths = ((made - true).square().sum(dim=1, keepdim=True) + _SMALL**2).sqrt() - _SMALL
        terms.append(mean_in_field(lengths, weights))
    return torch.stack(terms).mean()


def fooling(verdict: Float[Tensor, "b 1 i j"], field: Tensor) -> Float[Tensor, ""]:
    """Return the generator's side of the least-squares game (Mao et al. 2017): mean (D(made) - 1)^2.

    Args:
        verdict: Of the discriminator, one number a patch.
        field: Of the image that was judged; a patch counts as much as it is inside.
    """
    return mean_in_field((verdict.float() - 1).square(), _share(field, verdict))


def telling_apart(
    of_true: Float[Tensor, "b 1 i j"],
    of_made: Float[Tensor, "b 1 i j"],
    field_of_true: Tensor,
    field_of_made: Tensor,
) -> Float[Tensor, ""]:
    """Return the discriminator's side of it: (mean (D(true) - 1)^2 + mean D(made)^2) / 2.

    Args:
        of_true: Verdict on images of the domain.
        of_made: Verdict on what a generator made.
        field_of_true: As in :func:`fooling`.
        field_of_made: As in :func:`fooling`.
    """
    return 0.5 * (
        mean_in_field((of_true.float() - 1).square(), _share(field_of_true, of_true))
        + mean_in_field(of_made.float().square(), _share(field_of_made, of_made))
    )


def patch_contrast(
    made: Float[Tensor, "b n c"], given: Float[Tensor, "b n c"], is_inside: Bool[Tensor, "b n"], temperature: float
) -> Float[Tensor, ""]:
    """Return PatchNCE (Park et al. 2020, equation 3): the cross-entropy of finding a patch's own place.

    -log( exp(v . v+ / T) / sum over places exp(v . v- / T) ): features of what was made, v, should be like those of
    what was given at the same place, v+, and unlike those at the other places of the same image.

    Args:
        made: Features of length 1 at n places of the translated images.
        given: The same of the images that were translated; taken as constants.
        is_inside: Which places are in the field; the others neither ask nor answer.
        temperature: T.
    """
    likeness = made.float() @ given.detach().float().transpose(1, 2) / temperature
    likeness = likeness.masked_fill(~is_inside[:, None, :], torch.finfo(torch.float32).min)
    places = torch.arange(made.shape[1], device=made.device).expand(made.shape[0], -1)
    wrong = functional.cross_entropy(likeness.flatten(0, 1), places.flatten(), reduction="none")
    # Of a place outside its own answer is forbidden, and its loss enormous: it is taken out, not multiplied by 0.
    wrong = wrong.masked_fill(~is_inside.flatten(), 0.0)
    return wrong.sum() / is_inside.sum().clamp(min=1)


def _gradients(
    translated: Tensor, synthetic: Tensor, field: Tensor, scales: int
) -> Iterator[tuple[Float[Tensor, "b 2 i j"], Float[Tensor, "b 2 i j"], Bool[Tensor, "b 1 i j"]]]:
    """Yield the gradients of both images (along columns, along rows) and where they are valid, from fine to coarse."""
    coarsest_px = min(translated.shape[-2:]) // 2 ** max(scales - 1, 0)
    if scales < 1 or coarsest_px < 3:
        found = f"{scales} scales of {translated.shape[-2]} x {translated.shape[-1]} px"
        raise InputError("gradient loss", found, "1 scale or more, the coarsest with 3 x 3 px")
    both = torch.cat([translated.float(), synthetic.float()])
    inside = field.float()
    for scale in range(scales):
        if scale:
            both = functional.avg_pool2d(both, 2)
            inside = (functional.avg_pool2d(inside, 2) == 1).float()
        made, true = _scharr(both).chunk(2)
        yield made, true, -functional.max_pool2d(-inside, 3, stride=1) > 0


def _scharr(images: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 2 i j"]:
    """Derivatives along columns and rows, per pixel, where the 3 x 3 kernel fits."""
    # Slices, because a convolution of one channel takes five times as long.
    along_u = 0.5 * (images[..., 2:] - images[..., :-2])
    along_v = 0.5 * (images[..., 2:, :] - images[..., :-2, :])
    end, middle = _SMOOTHING
    return torch.cat(
        [
            end * (along_u[..., :-2, :] + along_u[..., 2:, :]) + middle * along_u[..., 1:-1, :],
            end * (along_v[..., :-2] + along_v[..., 2:]) + middle * along_v[..., 1:-1],
        ],
        dim=1,
    )


def _share(field: Tensor, verdict: Tensor) -> Float[Tensor, "b 1 i j"]:
    """Share of the field in each patch that a verdict is on."""
    rows, columns = verdict.shape[-2:]
    return functional.adaptive_avg_pool2d(field.float(), (rows, columns))
