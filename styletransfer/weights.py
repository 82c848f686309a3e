"""Translators on disk: what translating needs as safetensors, and beside it the JSON that says what it is.

The same file holds what the training images looked like (``domain.*``), so that a translator can say which images it
has never seen the like of.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from drrkit.errors import InputError
from drrkit.learning.weights import load_weights, path_of_spec, save_weights
from drrkit.learning.weights import read_spec as read_any_spec
from drrkit.parameters import Parameters
from styletransfer import registry
from styletransfer.domain import DomainStatistics
from styletransfer.model import MODEL_CONVENTION, TranslatorSpec
from styletransfer.translator import Translator


def build_translator(spec: TranslatorSpec, where: object = "model") -> Translator:
    """Make the translator of a description, with fresh weights.

    Args:
        spec: What to build.
        where: Named in errors.

    Raises:
        InputError: No such method, or settings that it does not take.
    """
    return method_of(spec.method, where)(settings_of(spec.method, spec.settings, where), spec.scale)


def method_of(name: str, where: object = "model") -> type[Translator]:
    """Return the translator of a name.

    Raises:
        InputError: There is none.
    """
    kind = registry.TRANSLATORS.get(name)
    if kind is None:
        raise InputError(f"{where}, method", repr(name), " or ".join(sorted(registry.TRANSLATORS)))
    return kind


def settings_of(method: str, settings: Mapping[str, Any], where: object = "model") -> Parameters:
    """Check what a method is told.

    Raises:
        InputError: No such method, a name that it does not know, a value of the wrong kind.
    """
    try:
        return method_of(method, where).Settings.model_validate(settings)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(["settings", *(str(part) for part in first["loc"])])
        raise InputError(f"{where}, {place} of {method}", repr(first["input"]), first["msg"]) from error


def save_translator(
    path: Path, translator: Translator, spec: TranslatorSpec, domain: DomainStatistics | None = None
) -> None:
    """Write ``<name>.safetensors`` and ``<name>.json``.

    Args:
        path: ``<name>.safetensors``.
        translator: Whose weights.
        spec: What it is.
        domain: What its training images look like; None if nobody measured them.

    Raises:
        InputError: A path without the suffix ``.safetensors``, or one that cannot be written.
    """
    tensors = dict(translator.weights())
    if domain is not None:
        tensors |= domain.tensors()
    save_weights(path, tensors, MODEL_CONVENTION, spec)


def load_translator(path: Path, device: torch.device | str = "cpu") -> tuple[Translator, TranslatorSpec]:
    """Read a translator, ready to translate.

    Args:
        path: ``<name>.safetensors``.
        device: Where it shall work.

    Returns:
        The translator on ``device``, and its description.

    Raises:
        InputError: A file is missing, of another convention or changed since, or the weights are of another method.
    """
    path = Path(path)
    tensors, spec = load_weights(path, MODEL_CONVENTION, TranslatorSpec)
    translator = build_translator(spec, path_of_spec(path))
    try:
        translator.load_weights({name: tensor for name, tensor in tensors.items() if not _is_domain(name)})
    except InputError as error:
        raise InputError(f"{path}, {error.where}", error.found, error.wanted) from error
    return translator.to(device), spec


def read_spec(path: Path) -> TranslatorSpec:
    """Read what a translator is; its weights are not opened.

    Args:
        path: ``<name>.safetensors``.

    Raises:
        InputError: No JSON beside it, another convention, a field missing or wrong.
    """
    return read_any_spec(path, MODEL_CONVENTION, TranslatorSpec)


def read_domain(path: Path) -> DomainStatistics | None:
    """Read what a translator's training images look like; None if its file does not tell.

    Args:
        path: ``<name>.safetensors``.

    Raises:
        InputError: As :func:`load_translator`, or statistics that are none.
    """
    tensors, _ = load_weights(path, MODEL_CONVENTION, TranslatorSpec)
    return DomainStatistics.from_tensors(tensors) if any(map(_is_domain, tensors)) else None


def _is_domain(name: str) -> bool:
    return name.startswith("domain.")
