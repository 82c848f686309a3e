"""params.yaml: one section a stage, one strict and frozen model a section."""

from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from drrkit.errors import InputError

PARAMETERS_PATH = Path("params.yaml")


class Parameters(BaseModel):
    """Base of every stage's parameters: unknown names are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Model = TypeVar("Model", bound=Parameters)


def read_parameters(section: str, model: type[Model], path: Path = PARAMETERS_PATH) -> Model:
    """Read one section of params.yaml; dots lead into sections of sections, as ``pretrain.models.lumbar``.

    Raises:
        InputError: No such file or section, a name that the model lacks, a value of the wrong kind.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise InputError(path, error.strerror or error, "a params.yaml in the working folder") from error
    except yaml.YAMLError as error:
        raise InputError(path, f"no YAML ({error})", "a YAML file") from error
    for name in section.split("."):
        if not isinstance(content, dict) or name not in content:
            raise InputError(path, f"no section {section}", f"a section {section}: with the parameters")
        content = content[name]
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join([section, *(str(part) for part in first["loc"])])
        raise InputError(f"{path}, {place}", repr(first["input"]), first["msg"]) from error
