"""acquisition.yaml: what a lab writes down about one session, field by field with unit and example.

The template that people fill in is made from these descriptions, so both always agree. What DICOM headers say is not
asked for here; the device's numbers are wanted only where headers lack them.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat

from drrkit.geometry.presets import PRESETS
from drrkit.io.labels import LABEL_SCHEMES
from drrkit.volume import LEVEL_CODES

ACQUISITION_CONVENTION = "drrkit-acquisition/1"
SHEET_NAME = "acquisition.yaml"

# Stands in the template where nobody but the lab knows; check finds what was left.
PLACEHOLDER = "CHANGE-ME"

_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def is_safe_name(name: str) -> bool:
    """Whether a name can be a file name on every system and a pseudonym: letters, digits, dot, dash, underscore."""
    return len(name) <= 64 and _SAFE_NAME.fullmatch(name) is not None and not name.endswith(".")


def _one_of(names: Any) -> Callable[[str], str]:
    def check(name: str) -> str:
        if name not in names:
            raise ValueError(f"one of {', '.join(names)}")
        return name

    return check


def _safe(name: str) -> str:
    if not is_safe_name(name):
        raise ValueError("a name of letters, digits, dot, dash and underscore that starts with a letter or digit")
    return name


def _inside(path: str) -> str:
    parts = path.split("/")
    if not path.strip() or path.startswith(("/", "~")) or "\\" in path or ".." in parts or ":" in parts[0]:
        raise ValueError("a path inside the acquisition folder, with forward slashes")
    return path


SafeName = Annotated[str, AfterValidator(_safe)]
InnerPath = Annotated[str, AfterValidator(_inside)]
Text = Annotated[str, Field(min_length=1, max_length=2000)]
Millimeters = Annotated[FiniteFloat, Field(gt=0, le=5000)]
Degrees = Annotated[FiniteFloat, Field(ge=-180, le=180)]


class Section(BaseModel):
    """Base of every section: unknown names are refused, values keep their kind and do not change."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Specimen(Section):
    """What lay on the table."""

    kind: Literal["cadaver", "phantom", "sawbone"] = Field(
        description="cadaver, phantom (balls in plexiglass or gel, no bone) or sawbone.", examples=["cadaver"]
    )
    levels: tuple[Annotated[str, AfterValidator(_one_of(LEVEL_CODES))], ...] = Field(
        strict=False,
        description="Vertebrae that CT and X-rays show whole, by name, head to foot; [] for a phantom without bone.",
        examples=[["L1", "L2", "L3", "L4", "L5"]],
    )


class Balls(Section):
    """The steel balls in the soft tissue."""

    material: Text = Field(description="What they are made of.", examples=["stainless steel AISI 316"])
    diameter_mm: Annotated[FiniteFloat, Field(gt=0, le=20)] = Field(
        description="Diameter in millimeters, from calipers, not from the package.", examples=[3.0]
    )
    count: Annotated[int, Field(ge=1, le=500)] = Field(
        description="How many were placed, counted again when they were taken out.", examples=[20]
    )


class Ct(Section):
    """The CT of the specimen with the balls in place."""

    path: InnerPath = Field(
        default="ct", description="Folder with one DICOM series, or a .nii.gz, .nrrd or .mha file.", examples=["ct"]
    )
    labels: InnerPath | None = Field(
        default=None,
        description="Vertebra labels on the CT's grid, a file or a folder of TotalSegmentator; null if there are none.",
        examples=["labels.nii.gz"],
    )
    label_scheme: Annotated[str, AfterValidator(_one_of(LABEL_SCHEMES))] | None = Field(
        default=None,
        description=f"Which numbers the labels use: {', '.join(LABEL_SCHEMES)}; null without labels.",
        examples=["verse"],
    )
    reconstruction: Annotated[str, Field(max_length=2000)] = Field(
        default="",
        description="Kernel, slice thickness and increment in millimeters, and that metal artifact reduction was off.",
        examples=["bone kernel, 0.6 mm slices every 0.4 mm, extended HU range, metal artifact reduction off"],
    )


class Device(Section):
    """The C-arm. A number that DICOM headers give is taken from there; check says if yours is another."""

    preset: Annotated[str, AfterValidator(_one_of(PRESETS))] | None = Field(
        default=None,
        description=f"A C-arm that drrkit knows, for numbers that neither header nor the lines below give: "
        f"{', '.join(PRESETS)}; null for another machine.",
        examples=["siemens-cios-spin"],
    )
    detector: Literal["flat_panel", "image_intensifier"] = Field(
        description="flat_panel (square image) or image_intensifier (round, distorted image).", examples=["flat_panel"]
    )
    source_to_detector_mm: Millimeters | None = Field(
        default=None,
        description="Focal spot to detector in millimeters; null if headers give it (0018,1110).",
        examples=[1164.0],
    )
    source_to_isocenter_mm: Millimeters | None = Field(
        default=None,
        description="Focal spot to center of rotation in millimeters; null if headers give it (0018,9402, 0018,1111).",
        examples=[622.0],
    )
    pixel_spacing_mm: (
        Annotated[
            tuple[Annotated[FiniteFloat, Field(gt=0, le=10)], Annotated[FiniteFloat, Field(gt=0, le=10)]],
            Field(strict=False),
        ]
        | None
    ) = Field(
        default=None,
        description="[row, column] pixel spacing at the detector in millimeters; null if headers give it (0018,1164).",
        examples=[[0.305, 0.305]],
    )
    overrule_headers: bool = Field(
        default=False,
        description="true if the three numbers above are right and what headers say of them is wrong.",
        examples=[True],
    )
    intrinsics: Literal["shared", "drifting"] = Field(
        default="drifting",
        description="shared (fixed C-arm: one focal length and center for all shots) or drifting (mobile C-arm: they "
        "sag from view to view).",
        examples=["drifting"],
    )


class Pixels(Section):
    """What pixel values mean. Leave it alone if the C-arm exports raw ("for processing") images that say so."""

    relation: Literal["from_header", "linear", "log"] = Field(
        default="from_header",
        description="from_header; or, for files that do not say: linear (proportional to the beam's intensity) or log.",
        examples=["from_header"],
    )
    log_slope: FiniteFloat | None = Field(
        default=None,
        description="Only for log: line integral = log_slope * (pixel - log_zero), per pixel value; negative where "
        "the open beam is bright. Two steps of a known absorber give it.",
        examples=[-0.0021],
    )
    log_zero: FiniteFloat | None = Field(
        default=None, description="Only for log: the pixel value of the open beam.", examples=[3900.0]
    )
    open_field: Annotated[FiniteFloat, Field(gt=0)] | None = Field(
        default=None,
        description="Pixel value of the open beam at these settings, from the flat-field shot, for linear pixels; null "
        "takes the brightest part of each image.",
        examples=[3650.0],
    )


class ExposureNote(Section):
    """What the header of one exposure says wrongly or not at all."""

    primary_deg: Degrees | None = Field(
        default=None,
        description="Positioner primary angle in degrees as DICOM counts it: 0 = the patient faces the detector, +90 = "
        "detector at the patient's left.",
        examples=[-45.0],
    )
    secondary_deg: Degrees | None = Field(
        default=None,
        description="Positioner secondary angle in degrees: positive = detector toward the head.",
        examples=[10.0],
    )
    exclude: Text | None = Field(
        default=None, description="Why this exposure is not to be used; null to use it.", examples=["table was moved"]
    )
    flipped_horizontally: bool = Field(
        default=False, description="true if the image is the mirror image of what its header says.", examples=[True]
    )


class Xrays(Section):
    """The exposures. One is one frame: named like its file, or run-0007 for frame 7 of run.dcm."""

    files: InnerPath = Field(
        default="xrays/*.dcm",
        description="Which files: a folder, or a pattern (* any part of a name, ** any folders).",
        examples=["xrays/*.dcm"],
    )
    exposures: dict[str, ExposureNote] = Field(
        default_factory=dict,
        description="Corrections by exposure, only where a header is wrong or silent; {} for none.",
        examples=[{"shot-0012": {"exclude": "table was moved"}}],
    )


class Sheet(Section):
    """acquisition.yaml of one session: one donor, one C-arm, one placement of the balls, one CT."""

    convention: Literal["drrkit-acquisition/1"] = Field(
        description="Format of this file; leave it.", examples=[ACQUISITION_CONVENTION]
    )
    acquisition_id: SafeName = Field(
        description="Name of this session and of its folder; safe as a file name, no personal name.",
        examples=["2024-torso03-cios"],
    )
    donor_id: SafeName = Field(
        description="Pseudonym of the donor, the same in all sessions of this donor.", examples=["donor-03"]
    )
    simulated: bool = Field(
        description="true if a computer made CT and X-rays, false for a real session.", examples=[False]
    )
    site: Text = Field(
        description="Where it was acquired: institution or lab, no person.", examples=["Anatomy lab, Zurich"]
    )
    shifted_date: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")] | None = Field(
        default=None,
        description="Date of the X-rays as the de-identified DICOM files give it (year-month-day), never the true one; "
        "null for none.",
        examples=["2031-04-09"],
    )
    consent_reference: Text = Field(
        description="Number of the ethics vote or body donation agreement, never a name; for phantoms and simulations: "
        "not needed.",
        examples=["BASEC-2021-01083"],
    )
    notes: Annotated[str, Field(max_length=10000)] = Field(
        default="",
        description="Whatever a stranger should know: what went wrong, what was moved, who to ask (a role, no name).",
        examples=["thawed 36 h; shot-0031 repeated after the table was touched"],
    )
    specimen: Specimen
    balls: Balls
    ct: Ct
    device: Device
    pixels: Pixels = Field(default_factory=Pixels)
    xrays: Xrays = Field(default_factory=Xrays)


@dataclass(frozen=True)
class Problem:
    """One thing wrong in acquisition.yaml.

    Args:
        field: Its name with dots, such as ``balls.diameter_mm``; empty for the file as a whole.
        found: What stands there.
        wanted: What would be right, with an example.
        line: Line in the file, from 1; None where it is not known.
    """

    field: str
    found: str
    wanted: str
    line: int | None = None


def contradictions(sheet: Sheet) -> Iterator[Problem]:
    """Find fields that are right each alone and wrong together."""
    if (sheet.ct.labels is None) != (sheet.ct.label_scheme is None):
        found = "labels without a scheme" if sheet.ct.labels else "a scheme without labels"
        yield Problem("ct.label_scheme", found, f"both or neither (schemes: {', '.join(LABEL_SCHEMES)})")
    pixels = sheet.pixels
    if pixels.relation == "log":
        for name in ("log_slope", "log_zero"):
            if not isinstance(getattr(pixels, name), float | int):
                yield Problem(
                    f"pixels.{name}", "null with relation log", "a number: what one pixel step means is not in the file"
                )
        if pixels.log_slope == 0:
            yield Problem("pixels.log_slope", "0", "a slope other than 0")
        if pixels.open_field is not None:
            yield Problem("pixels.open_field", f"{pixels.open_field:g} with relation log", "null: log_zero says it")
    elif pixels.log_slope is not None or pixels.log_zero is not None:
        yield Problem("pixels.relation", f"{pixels.relation} with log_slope or log_zero", "log, or null for both")
    device = sheet.device
    to_detector_mm, to_isocenter_mm = device.source_to_detector_mm, device.source_to_isocenter_mm
    if device.overrule_headers and not (to_detector_mm or to_isocenter_mm or device.pixel_spacing_mm):
        yield Problem("device.overrule_headers", "true without numbers", "false, or the numbers that are right")
    if to_detector_mm and to_isocenter_mm and to_isocenter_mm >= to_detector_mm:
        found = f"{to_isocenter_mm:g}, detector at {to_detector_mm:g}"
        yield Problem("device.source_to_isocenter_mm", found, "an isocenter between focal spot and detector")
    for level in sorted({name for name in sheet.specimen.levels if sheet.specimen.levels.count(name) > 1}):
        yield Problem("specimen.levels", f"{level} twice", "each vertebra once")
    for exposure_id in sheet.xrays.exposures:
        if not is_safe_name(exposure_id):
            yield Problem(
                f"xrays.exposures.{exposure_id}", "a name that no exposure can have", "the file's name without ending"
            )
