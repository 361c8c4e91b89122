# Sourced by run_tests.sh: puts servers that tests talk to on the PATH. What is not installed is unpacked from Debian's
# packages into .servers, which needs no root and starts nothing; elsewhere those tests skip and say why.

# Debian's Alertmanager reads its templates from a folder of the system and from nowhere else.
place_templates() {
    local folder=/usr/share/prometheus/alertmanager
    [ -e "..$folder" ] && [ ! -e "$folder" ] && [ -w /usr/share ] || return 0
    echo "Putting Alertmanager's templates into $folder, where Debian's program looks for them ..."
    mkdir -p "$folder" && cp -R "..$folder/." "$folder/"
}

setup_servers() {
    local package
    PATH="$PATH:$PWD/.servers/usr/bin"
    export PATH
    for package in "$@"; do
        command -v "$package" >/dev/null && continue
        command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || continue
        echo "Unpacking Debian's $package ..."
        (
            set -e
            rm -rf .servers/download
            mkdir -p .servers/download
            cd .servers/download
            apt-get download "$package" >log 2>&1 || { apt-get update >log 2>&1 && apt-get download "$package" >log 2>&1; }
            dpkg-deb -x "$package"_*.deb ..
            place_templates
        ) || echo "$package cannot be had here; tests that need it will say so."
    done
}
