#!/bin/sh
# Makes the environments that peers run in, outside the repository: sh benchmarks/peers/install.sh FOLDER [PEER ...]
# PEER: colbert, lancedb, tachiom, kannolo, or rust (fast-plaid and xtr-warp-rs), which brings torch 2.11 with CUDA, about 5 GB.
set -eu
folder=$1
shift
[ $# -gt 0 ] || set -- colbert lancedb
here=$(cd "$(dirname "$0")" && pwd)
make() {
    [ -x "$folder/$1/bin/python" ] || "${PYTHON:-python3}" -m venv "$folder/$1"
    environment=$1
    shift
    "$folder/$environment/bin/pip" install -q "$@"
}
packages() {
    "$folder/$1/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'
}
for peer in "$@"; do
    case $peer in
        colbert)
            make colbert torch==2.13.0 numpy ninja setuptools
            make colbert colbert-ai==0.2.22 faiss-cpu
            ;;
        lancedb) make lancedb lancedb==0.40.0 numpy ;;
        rust) make rust torch==2.11.0 numpy fast-plaid==1.7.0.2110 xtr-warp-rs==2.1.0.2110 ;;
        tachiom) # its wheel asks for glibc 2.39 and runs with older ones: unpacked, since pip refuses to install it
            make tachiom numpy
            python=$("$folder/tachiom/bin/python" -c 'import sys; print("%d%d" % sys.version_info[:2])')
            "$folder/tachiom/bin/pip" download -q --no-deps --only-binary :all: --platform manylinux_2_39_x86_64 \
                --python-version "$python" --dest "$folder/tachiom" tachiom==0.4.0
            "$folder/tachiom/bin/python" -m zipfile -e "$folder"/tachiom/tachiom-0.4.0-*.whl "$(packages tachiom)"
            ;;
        kannolo) # the exact scores of what it finds are this checkout's
            make kannolo kannolo==0.15.1 numpy
            echo "$here/../../src" >"$(packages kannolo)/polyvec.pth"
            ;;
        *) echo "$peer: expected colbert, lancedb, rust, tachiom or kannolo" >&2 && exit 2 ;;
    esac
done
