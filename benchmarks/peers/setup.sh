#!/bin/sh
# Make a virtual environment for one peer library.
#
#   setup.sh NAME DIRECTORY     NAME: recbole, rectools, lenskit or implicit
#
# PYTHON names the interpreter (default python3.11, the one the pins were found
# with). pip is configured as usual, by its files and PIP_* variables.
set -eu

usage() {
    echo "usage: $0 {recbole|rectools|lenskit|implicit} DIRECTORY" >&2
    exit 2
}

[ $# -eq 2 ] || usage
case $1 in recbole | rectools | lenskit | implicit) ;; *) usage ;; esac

requirements=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)/$1.txt
environment=$2

"${PYTHON:-python3.11}" -m venv "$environment"

# torch goes first and alone: its pin then decides what the peers' open ranges
# resolve to.
torch=$(grep '^torch==' "$requirements" || true)
if [ -n "$torch" ]; then
    "$environment/bin/python" -m pip install "$torch"
fi
"$environment/bin/python" -m pip install -r "$requirements"
"$environment/bin/python" -m pip check
