#!/bin/sh
# Makes the environments that peers run in, outside the repository: sh benchmarks/peers/install.sh FOLDER [colbert lancedb rust]
# colbert and lancedb are small; rust (fast-plaid and xtr-warp-rs) brings torch 2.11 with CUDA libraries, about 5 GB.
set -eu
folder=$1
shift
[ $# -gt 0 ] || set -- colbert lancedb
make() {
    [ -x "$folder/$1/bin/python" ] || "${PYTHON:-python3}" -m venv "$folder/$1"
    environment=$1
    shift
    "$folder/$environment/bin/pip" install -q "$@"
}
for peer in "$@"; do
    case $peer in
        colbert)
            make colbert torch==2.13.0 numpy ninja setuptools
            make colbert colbert-ai==0.2.22 faiss-cpu
            ;;
        lancedb) make lancedb lancedb==0.40.0 numpy ;;
        rust) make rust torch==2.11.0 numpy fast-plaid==1.7.0.2110 xtr-warp-rs==2.1.0.2110 ;;
        *) echo "$peer: expected colbert, lancedb or rust" >&2 && exit 2 ;;
    esac
done
