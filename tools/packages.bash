# Sourced by tools/run and tools/test.

# install_packages PACKAGE...: installs, on Debian, those that dpkg does not list as installed. Elsewhere, or where it may
# not, says what is wanted and returns 1.
install_packages() {
    local missing=() package as_root=()
    if ! command -v dpkg-query >/dev/null; then
        echo "No dpkg here: make sure that these are installed, by their Debian names: $*" >&2
        return 1
    fi
    for package in "$@"; do
        dpkg-query -W -f='${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || { echo "Neither root nor sudo: cannot install ${missing[*]}" >&2; return 1; }
        as_root=(sudo)
    fi
    echo "Installing ${missing[*]}"
    "${as_root[@]}" apt-get update -qq >/dev/null || return 1
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null || return 1
}

# The generator for a new build directory: Ninja where there is one.
generator() { command -v ninja >/dev/null && echo Ninja || echo "Unix Makefiles"; }

build_packages=(gcc libc6-dev make cmake pkg-config liburcu-dev libxxhash-dev libzstd-dev liblzma-dev libuv1-dev libssl-dev)
# The peers that benchmarks stand beside, and what draws the plots.
# shellcheck disable=SC2034
bench_packages=(postgresql libpq-dev libsqlite3-dev librocksdb-dev liblmdb-dev redis-server libhiredis-dev gnuplot-nox)
