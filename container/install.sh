#!/bin/sh
# Installs medseg and everything that it needs at run time into /opt/medseg, on Debian 12 or a system like it.
# The Dockerfile runs this script, and container/try.sh runs it in a bare Debian root.
#
#   install.sh SOURCE    SOURCE is a clone of the repository. It is only read.
#
# TORCH_INDEX   index with builds of PyTorch, by default for CPUs. Empty: the package index, whose build is for CUDA.
# EXTRAS        extras of medseg, such as "openvino" or "gpu,openvino"
set -eu
source=$1
home=/opt/medseg
torch_index=${TORCH_INDEX-https://download.pytorch.org/whl/cpu}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -q -y --no-install-recommends ca-certificates python3 python3-venv

# pip builds in the source folder, so it gets a copy
mkdir "$work/source"
for name in medseg configs pyproject.toml README.md LICENSE constraints.txt; do
  cp -R "$source/$name" "$work/source/"
done

python3 -m venv "$home"
"$home/bin/pip" install --no-cache-dir --progress-bar off --disable-pip-version-check \
  --constraint "$work/source/constraints.txt" \
  ${torch_index:+--extra-index-url "$torch_index"} \
  "$work/source${EXTRAS:+[$EXTRAS]}"

# Not needed to run: installers, the tests of libraries, and what compiling against PyTorch needs
site=$("$home/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
"$home/bin/pip" uninstall -q -y --disable-pip-version-check pip
find "$site" -type d -name tests -prune -exec rm -rf {} +
rm -rf "$site/torch/include" "$site/torch/test"
find "$site/torch/bin" -type f ! -name torch_shm_manager -delete
apt-get purge -q -y --auto-remove python3-venv
apt-get clean
rm -rf /var/lib/apt/lists/* /root/.cache

# The user that the entry point runs as, and the folder for results
groupadd --gid 10001 medseg
useradd --uid 10001 --gid medseg --home-dir /tmp --no-create-home --shell /usr/sbin/nologin medseg
install -d -o medseg -g medseg /work

"$home/bin/medseg" --help > /dev/null
