#!/bin/sh
# Brings the real Blazeio, to test against: sh test/peers/install.sh [FOLDER]
#
# Its newest wheel on PyPI is 4.3.4, for Python 3.12 on Linux. Under another Python 3 its three small C
# extensions are built here from the sources in the wheel, which takes gcc and Python's headers.
set -eu
folder=${1:-${TMPDIR:-/tmp}/blaze-relay-blazeio}
version=4.3.4
python3 -m venv "$folder"
pip="$folder/bin/python -m pip -q --disable-pip-version-check"
if ! $pip install "Blazeio==$version" 2>/dev/null; then
  wheels=$(mktemp -d)
  trap 'rm -rf "$wheels"' EXIT
  $pip download --no-deps --only-binary :all: --python-version 3.12 \
    --platform manylinux2014_x86_64 -d "$wheels" "Blazeio==$version"
  $pip install ujson aiofile brotlicffi psutil xmltodict
  site=$("$folder/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  "$folder/bin/python" -m zipfile -e "$wheels"/*.whl "$wheels/x"
  cp -r "$wheels/x/Blazeio" "$site/"
  include=$("$folder/bin/python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
  suffix=$("$folder/bin/python" -c 'import sysconfig; print(sysconfig.get_config_var("EXT_SUFFIX"))')
  for module in c_request_util client_payload_gen Blazeio_iourllib; do
    gcc -O3 -fPIC -shared "-I$include" "$site/Blazeio/Extensions/$module.c" -o "$site/$module$suffix"
  done
fi
"$folder/bin/python" -c 'import Blazeio; print("Blazeio", Blazeio.__version__, "is ready")'
