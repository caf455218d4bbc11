#!/bin/sh
# Installs the Debian packages that the set-up needs and the machine lacks, asking for sudo only if not root.
# Usage: debian_packages.sh PYTHON
set -eu
python=$1

wanted=""
command -v iverilog >/dev/null || wanted="$wanted iverilog"
command -v g++ >/dev/null || wanted="$wanted g++" # Verilator compiles what it simulates
if ! command -v "$python" >/dev/null; then
    wanted="$wanted python3 python3-venv"
elif ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    wanted="$wanted python3-venv"
fi

if [ -n "$wanted" ]; then
    sudo=""
    [ "$(id -u)" -eq 0 ] || sudo=sudo
    if ! command -v apt-get >/dev/null || { [ -n "$sudo" ] && ! command -v sudo >/dev/null; }; then
        echo "Missing on this machine:$wanted. Install them with your package manager, then run make again." >&2
        exit 1
    fi
    echo "Installing Debian packages:$wanted"
    # Package lists may be stale or absent, so they are fetched first.
    if ! { $sudo apt-get update -qq && $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $wanted; } >/dev/null
    then
        echo "Debian's packages could not be installed:$wanted. Install them by hand, then run make again." >&2
        exit 1
    fi
fi

# The Studio's page is tried in a browser where there is one; without it these tests are skipped.
if ! command -v chromium >/dev/null && command -v apt-get >/dev/null; then
    sudo=""
    [ "$(id -u)" -eq 0 ] || sudo="sudo -n"
    if ! { $sudo apt-get update -qq && $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium; } >/dev/null 2>&1
    then
        echo "Chromium could not be installed: tests of the Studio's page will be skipped." >&2
    fi
fi

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "Spikeloom needs Python 3.11 or newer: $("$python" --version). Point make at one: make PYTHON=/path/to/python3.11" >&2
    exit 1
fi
