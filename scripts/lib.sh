# Shared by the scripts: one virtual environment in .venv, made once and brought up to date when
# pyproject.toml changes. Sourced, not run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
VENV="${TRIFORIUM_VENV:-.venv}"

find_python() {
    for candidate in "${PYTHON:-}" python3 python3.13 python3.12 python3.11 python; do
        if [ -n "$candidate" ] && command -v "$candidate" >/dev/null 2>&1 &&
            "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "Triforium needs Python 3.11 or newer; set PYTHON to one." >&2
    return 1
}

# set_up NAME EXTRAS [PACKAGES...]: installs the project with the extras, and the packages.
set_up() {
    local name="$1" extras="$2"
    shift 2
    local stamp="$VENV/.triforium-$name" python
    if [ ! -x "$VENV/bin/python" ]; then
        python="$(find_python)"
        echo "Setting up $VENV ..."
        "$python" -m venv "$VENV"
    fi
    if [ ! -f "$stamp" ] || ! cmp -s pyproject.toml "$stamp"; then
        echo "Installing triforium${extras:+[$extras]} into $VENV (once) ..."
        "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check \
            --editable ".${extras:+[$extras]}" "$@"
        cp pyproject.toml "$stamp"
    fi
}
