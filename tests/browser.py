"""The browser that tests of pages drive: Debian's Chromium, or none."""

import shutil

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
# Three-dimensional figures need WebGL, which a machine without a graphics card does in software.
WITH_WEBGL = ("--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist")
