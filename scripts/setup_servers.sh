# Sourced by run_tests.sh: puts servers that tests talk to on the PATH. What is not installed is unpacked from Debian's
# packages into .venv/servers, which needs no root and starts nothing; elsewhere those tests skip and say why.

# Debian's Alertmanager reads its templates from a folder of the system and from nowhere else.
place_templates() {
    local folder=/usr/share/prometheus/alertmanager
    [ -e "../servers$folder" ] && [ ! -e "$folder" ] && [ -w /usr/share ] || return 0
    mkdir -p "$folder" && cp -R "../servers$folder/." "$folder/"
}

setup_servers() {
    local package
    PATH="$PATH:$PWD/.venv/servers/usr/bin"
    export PATH
    for package in "$@"; do
        command -v "$package" >/dev/null && continue
        command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || continue
        echo "Unpacking Debian's $package ..."
        (
            set -e
            rm -rf .venv/download
            mkdir -p .venv/download .venv/servers
            cd .venv/download
            apt-get download "$package" >log 2>&1 || { apt-get update >log 2>&1 && apt-get download "$package" >log 2>&1; }
            dpkg-deb -x "$package"_*.deb ../servers
            place_templates
        ) || echo "$package cannot be had here; tests that need it will say so."
    done
}
