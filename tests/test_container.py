"""The container: what the Dockerfile says, and the installation in a bare Debian root, which takes minutes and 2 GB.

MEDSEG_CONTAINER has the options of container/try.sh, or is empty.
"""

import csv
import os
import re
import shlex
import subprocess
import tempfile
import tomllib
from pathlib import Path

import pytest

from tests.support.processes import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text()
INSTALL = (ROOT / "container/install.sh").read_text()


def test_the_image_has_the_version_of_the_package_and_a_user_that_is_not_root():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f'image.version="{version}"' in DOCKERFILE
    user = re.search(r"^USER (\d+):(\d+)$", DOCKERFILE, re.MULTILINE)
    assert user
    assert f"--uid {user[1]}" in INSTALL
    assert f"--gid {user[2]}" in INSTALL


def test_what_the_script_reads_is_sent_to_the_builder_and_nothing_else():
    sent = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    found = re.search(r"^for name in (.+); do$", INSTALL, re.MULTILINE)
    assert found
    assert sorted(sent) == sorted([*found[1].split(), "container"])
    assert all((ROOT / name).exists() for name in sent)


@pytest.mark.parametrize("name", ["install.sh", "try.sh"])
def test_the_scripts_can_be_run_and_parsed(name):
    path = ROOT / "container" / name
    assert os.access(path, os.X_OK)
    shell = path.read_text().partition("\n")[0].removeprefix("#!")
    subprocess.run([shell, "-n", path], check=True)


@pytest.mark.container
@pytest.mark.timeout(3600)
@pytest.mark.skipif("MEDSEG_CONTAINER" not in os.environ, reason="needs root, mmdebstrap, minutes and 2 GB")
def test_a_folder_is_predicted_in_a_read_only_root():
    with tempfile.TemporaryDirectory() as folder:
        options = shlex.split(os.environ["MEDSEG_CONTAINER"])
        subprocess.run([ROOT / "container/try.sh", *options, f"{folder}/root", f"{folder}/out"], check=True)
        with Path(folder, "out/masks/report.csv").open() as file:
            assert [row["status"] for row in csv.DictReader(file)] == ["done"] * 4
