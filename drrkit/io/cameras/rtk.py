"""RTK's geometry XML; the detector's pixels stand in remarks, as RTK reads them from the projection images."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from drrkit.errors import InputError
from drrkit.geometry import rigid
from drrkit.geometry.camera import Camera
from drrkit.geometry.convert import (
    IEC_FROM_LPS,
    RtkDetector,
    RtkProjection,
    camera_from_rtk,
    matrix_from_rtk,
    rtk_from_camera,
)
from drrkit.io.cameras.unsaid import Unsaid, facts_in, naming, read_text, size_of
from drrkit.io.store import write_bytes

# RTK's tag of each parameter: SourceToIsocenterDistance for source_to_isocenter_distance.
RTK_TAGS = {name: "".join(word.title() for word in name.split("_")) for name in RtkProjection.__dataclass_fields__}


def read_rtk(path: Path, unsaid: Unsaid) -> dict[str, Camera]:
    """Read RTK's geometry XML.

    Raises:
        InputError: Not such a file, a cylindrical detector, a matrix that contradicts the parameters, no detector size.
    """
    try:
        parser = ElementTree.XMLParser(target=ElementTree.TreeBuilder(insert_comments=True))
        root = ElementTree.fromstring(read_text(path), parser)
    except ElementTree.ParseError as error:
        raise InputError(path, f"no XML ({error})", "an RTKThreeDCircularGeometry file") from error
    if root.tag != "RTKThreeDCircularGeometry" or root.get("version") not in ("2", "3"):
        raise InputError(
            path, f"<{root.tag} version={root.get('version')}>", "RTKThreeDCircularGeometry of version 2 or 3"
        )
    if float(root.findtext("RadiusCylindricalDetector", "0")) != 0:
        raise InputError(path, "a cylindrical detector", "a flat one")
    # As in RTK's reader, a value holds until another one is given, above the projections or in one of them.
    values = dict.fromkeys(RTK_TAGS, 0.0) | _parameters(root, path)
    cameras: dict[str, Camera] = {}
    for number, element in enumerate(root.iterfind("Projection")):
        facts: dict[str, Any] = {}
        for child in element:
            if child.tag is ElementTree.Comment:
                facts = facts_in(child.text or "") or facts
        name = str(facts.get("id", f"{number:03d}"))
        with naming(f"{path}, projection {name}"):
            values |= _parameters(element, path)
            projection = RtkProjection(**values)
            _check_rtk_matrix(projection, element.findtext("Matrix"))
            if name in cameras:
                raise InputError("id", f"{name!r} twice", "every id once")
            cameras[name] = camera_from_rtk(projection, _rtk_detector(facts, unsaid), _fixed_from_world(unsaid))
    return cameras


def write_rtk(path: Path, cameras: Mapping[str, Camera], unsaid: Unsaid) -> list[str]:
    """Write RTK's geometry XML.

    Returns:
        The header that the projection images must have: RTK takes the pixels from there.
    """
    root = ElementTree.Element("RTKThreeDCircularGeometry", version="3")
    detectors = set()
    for name, camera in cameras.items():
        with naming(f"camera {name}"):
            projection, detector = rtk_from_camera(camera, _fixed_from_world(unsaid))
        # Rounding must not make two detectors of one.
        x_mm, y_mm = detector.spacing_mm
        detectors.add(replace(detector, spacing_mm=(round(x_mm, 9), round(y_mm, 9))))
        element = ElementTree.SubElement(root, "Projection")
        facts = {"id": name, **{key: value for key, value in vars(detector).items() if value is not None}}
        # A comment may not hold two hyphens.
        element.append(ElementTree.Comment(f" drrkit {json.dumps(facts)} ".replace("--", "\\u002d\\u002d")))
        for key, tag in RTK_TAGS.items():
            ElementTree.SubElement(element, tag).text = repr(getattr(projection, key))
        rows = (" ".join(repr(float(number)) for number in row) for row in matrix_from_rtk(projection))
        ElementTree.SubElement(element, "Matrix").text = "\n" + "\n".join(rows) + "\n"
    if len(detectors) > 1:
        raise InputError(
            path, f"{len(detectors)} detectors", "one size, spacing and mirroring: RTK's projections are one stack"
        )
    ElementTree.indent(root)
    head = '<?xml version="1.0"?>\n<!DOCTYPE RTKGEOMETRY>\n'
    write_bytes(path, (head + ElementTree.tostring(root, encoding="unicode") + "\n").encode())
    (detector,) = detectors
    x_mm, y_mm = detector.spacing_mm
    corner_x_mm, corner_y_mm = detector.corner_mm
    return [
        f"give the projection images the header: size {detector.width} x {detector.height}, spacing {x_mm:g} {y_mm:g}, "
        f"origin {corner_x_mm:g} {corner_y_mm:g}, direction of x {detector.direction_x}"
    ]


def _parameters(element: ElementTree.Element, path: Path) -> dict[str, float]:
    found = {name: element.findtext(tag) for name, tag in RTK_TAGS.items()}
    with naming(str(path)):
        return {name: float(text) for name, text in found.items() if text is not None}


def _fixed_from_world(unsaid: Unsaid) -> np.ndarray:
    rotation = IEC_FROM_LPS if unsaid.rtk_frame == "iec" else np.eye(4)
    origin = np.array(unsaid.isocenter_world or (0.0, 0.0, 0.0))
    return rotation @ rigid.from_rotation_translation(np.eye(3), -origin)


def _rtk_detector(facts: Mapping[str, Any], unsaid: Unsaid) -> RtkDetector:
    height, width = size_of(facts, unsaid)
    if unsaid.spacing_mm is not None:
        spacing_mm = unsaid.spacing_mm[1], unsaid.spacing_mm[0]
    elif "spacing_mm" in facts:
        spacing_mm = float(facts["spacing_mm"][0]), float(facts["spacing_mm"][1])
    else:
        raise InputError("spacing", "none in the file", "--spacing ROW COLUMN, of the projection images")
    return RtkDetector(height, width, spacing_mm, None, int(facts.get("direction_x", 1)))


def _check_rtk_matrix(projection: RtkProjection, text: str | None) -> None:
    if text is None:
        return
    found, wanted = np.array(text.split(), dtype=np.float64), matrix_from_rtk(projection).ravel()
    # RTK's own tolerance.
    if found.shape != wanted.shape or np.abs(found - wanted).max() > 1e-3:
        raise InputError("Matrix", "other numbers than the parameters give", "both alike (RTK refuses the file too)")
