# Sourced by the other scripts: makes .venv hold exactly what the given requirements files pin, and does nothing when it
# already does. Usage: setup_venv requirements.txt [requirements-dev.txt]

die() {
    echo "error: $*" >&2
    exit 1
}

find_python() {
    local candidate
    for candidate in ${PYTHON:-} python3.11 python3.12 python3.13 python3; do
        if command -v "$candidate" >/dev/null &&
            "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    die "Python 3.11 or newer is needed and was not found; install it, or name it: PYTHON=/path/to/python3.11 $0"
}

setup_venv() {
    local python file status missing=() arguments=()
    for file in "$@"; do
        [ -x .venv/bin/python ] && cmp -s "$file" ".venv/installed-$file" || missing+=("$file")
    done
    [ ${#missing[@]} -eq 0 ] && return
    [ -w . ] || die "$PWD cannot be written, and .venv has to be made there; clone to a folder of yours."
    trap 'echo; die "interrupted; start again to go on."' INT TERM
    if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then # also when an earlier start was interrupted
        python=$(find_python) || exit 1
        echo "Creating .venv with $("$python" --version) ..."
        rm -rf .venv
        "$python" -m venv .venv ||
            die "cannot create .venv; where venv is a package of its own (Debian: apt install python3-venv), install it."
    fi
    echo "Installing what $* pins; the first time takes a minute or two ..."
    for file in "$@"; do arguments+=(-r "$file"); done
    .venv/bin/python -m pip install --quiet --disable-pip-version-check "${arguments[@]}" || {
        status=$?
        [ $status -lt 128 ] || die "interrupted; start again to go on."
        die "the packages could not be installed; is there a network, or a proxy to set?"
    }
    for file in "$@"; do cp "$file" ".venv/installed-$file"; done
    trap - INT TERM
}
