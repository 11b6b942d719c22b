"""The container's packages are enough: a server in an environment of only those that docs/examples/Dockerfile names."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from datafiles import encoded, pixels
from onnxmodels import a_model
from servers import serving
from wheels import build_wheel

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "docs" / "examples" / "Dockerfile").read_text(encoding="utf-8")


def test_the_container_is_told_to_stop_by_a_signal_and_serves_without_rights():
    assert re.search(r"^USER (?!0)\d+:\d+$", DOCKERFILE, re.MULTILINE)
    assert re.search(r'^ENTRYPOINT \["mocoop", "serve", ', DOCKERFILE, re.MULTILINE), "not a shell, which keeps signals"
    assert not re.search(r"torch|open.?clip", "".join(re.findall(r"^RUN .*$", DOCKERFILE, re.MULTILINE)))


@pytest.mark.slow
def test_its_packages_serve_a_model(tmp_path):
    joined = DOCKERFILE.replace("\\\n", "")
    install = re.search(r"^RUN pip install --no-cache-dir ([^-].*)$", joined, re.MULTILINE)
    packages = shlex.split(install[1])
    python = str(tmp_path / "bare" / "bin" / "python")
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "bare")], check=True)
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile", "--retries", "0"]
    done = subprocess.run([*pip, *packages], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no package index to install {' '.join(packages)} from: {done.stderr.strip().splitlines()[-1]}")
    (tmp_path / "copy").mkdir()
    subprocess.run([*pip, "--no-deps", str(build_wheel(tmp_path / "copy", tmp_path))], check=True)
    model = tmp_path / "model.onnx"
    model.write_bytes(a_model().SerializeToString())
    with serving(model, "--host", "127.0.0.1", python=python, cwd=tmp_path) as server:
        for kind in ("PNG", "JPEG", "WEBP", "TIFF", "BMP"):
            status, found, _ = server.ask("/predict", encoded(pixels(2), kind), f"image/{kind.lower()}")
            assert status == 200, found
        assert server.end() == 0
    missing = [python, "-c", "import torch"]
    assert subprocess.run(missing, capture_output=True, check=False, cwd=tmp_path).returncode == 1
