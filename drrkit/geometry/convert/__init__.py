"""Cameras of other tools: one file a tool, each way, numpy only.

``camera_from_<tool>`` takes the tool's own numbers, ``<tool>_from_camera`` returns them. What a tool cannot express is
refused with an InputError or stands in a field of the result (a detector that counts columns backwards, an image header
that runs right to left); nothing is flipped silently. docs/how-to/geometry.md tells each tool's frame.
"""

from drrkit.geometry.convert.astra import astra_from_camera, camera_from_astra
from drrkit.geometry.convert.deepdrr import DeepDrrView, camera_from_deepdrr, deepdrr_from_camera
from drrkit.geometry.convert.dicom import DicomView, camera_from_dicom, dicom_from_camera
from drrkit.geometry.convert.diffdrr import DiffDrrView, camera_from_diffdrr, diffdrr_from_camera
from drrkit.geometry.convert.matrix import (
    RAS_FROM_LPS,
    camera_from_detector_frame,
    camera_from_matrix,
    matrix_from_camera,
)
from drrkit.geometry.convert.nanodrr import (
    NanoDrrView,
    camera_from_nanodrr,
    nanodrr_euler_from_rt_inv,
    nanodrr_from_camera,
    rt_inv_from_nanodrr_euler,
)
from drrkit.geometry.convert.opencv import OpenCvView, camera_from_opencv, opencv_from_camera
from drrkit.geometry.convert.rtk import (
    IEC_FROM_LPS,
    RtkDetector,
    RtkProjection,
    camera_from_rtk,
    matrix_from_rtk,
    rtk_from_camera,
)
from drrkit.geometry.convert.slicer import (
    camera_from_itk,
    itk_from_camera,
    markups_from_points,
    points_from_markups,
    transform_from_itk,
)
from drrkit.geometry.convert.xreg import XregView, camera_from_xreg, xreg_from_camera

__all__ = [
    "IEC_FROM_LPS",
    "RAS_FROM_LPS",
    "DeepDrrView",
    "DicomView",
    "DiffDrrView",
    "NanoDrrView",
    "OpenCvView",
    "RtkDetector",
    "RtkProjection",
    "XregView",
    "astra_from_camera",
    "camera_from_astra",
    "camera_from_deepdrr",
    "camera_from_detector_frame",
    "camera_from_dicom",
    "camera_from_diffdrr",
    "camera_from_itk",
    "camera_from_matrix",
    "camera_from_nanodrr",
    "camera_from_opencv",
    "camera_from_rtk",
    "camera_from_xreg",
    "deepdrr_from_camera",
    "dicom_from_camera",
    "diffdrr_from_camera",
    "itk_from_camera",
    "markups_from_points",
    "matrix_from_camera",
    "matrix_from_rtk",
    "nanodrr_euler_from_rt_inv",
    "nanodrr_from_camera",
    "opencv_from_camera",
    "points_from_markups",
    "rt_inv_from_nanodrr_euler",
    "rtk_from_camera",
    "transform_from_itk",
    "xreg_from_camera",
]
