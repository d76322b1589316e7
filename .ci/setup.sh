#!/bin/sh
# What building needs beside Rust: installs it where apt-get can, names it elsewhere. Silent when nothing is missing.
# `setup.sh lint` sees to rustfmt and clippy as well, `setup.sh browser` to Chromium, `setup.sh sound` to a sound server.
set -eu
cd "$(dirname "$0")/.."

fail() {
    echo "setup: $*" >&2
    exit 1
}

# Which of the tools and libraries are not there, by their Debian names.
missing_packages() {
    has cmake || echo cmake
    # It brings the C compiler and the linker along.
    { has cc && has c++; } || echo g++
    if [ "$system" = Linux ]; then
        if ! has pkg-config; then
            echo pkg-config libasound2-dev
        elif ! pkg-config --exists alsa; then
            echo libasound2-dev
        fi
    fi
}

missing_browser() {
    { has chromium || has chromium-browser || has google-chrome; } || echo chromium
}

missing_sound() {
    has pulseaudio || echo pulseaudio
    has pactl || echo pulseaudio-utils
}

has() {
    command -v "$1" >/dev/null 2>&1
}

install_with_apt() {
    if [ "$(id -u)" -eq 0 ]; then
        as_root=
    elif has sudo; then
        as_root=sudo
    else
        fail "missing: $*; as root: apt-get install --no-install-recommends $*"
    fi
    echo "setup: installing $* with apt-get"
    # Not quoted: one word or none. And sudo keeps no variables.
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq || fail "apt-get update failed, see above"
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >/dev/null ||
        fail "cannot install $*, see above"
}

check_cargo() {
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    has cargo || fail "cargo is missing; install Rust $wanted or newer, see https://rustup.rs"
    found=$(cargo --version) || fail "cargo does not run; install Rust $wanted or newer, see https://rustup.rs"
    found=${found#cargo }
    found=${found%% *}
    major=${found%%.*}
    rest=${found#*.}
    minor=${rest%%.*}
    if [ "$major" -lt "${wanted%%.*}" ] || { [ "$major" -eq "${wanted%%.*}" ] && [ "$minor" -lt "${wanted#*.}" ]; }; then
        fail "Rust $found is too old, $wanted or newer is needed; run rustup update, or see https://rustup.rs"
    fi
}

check_lints() {
    absent=
    cargo fmt --version >/dev/null 2>&1 || absent=rustfmt
    cargo clippy --version >/dev/null 2>&1 || absent="$absent clippy"
    [ -n "$absent" ] || return 0
    has rustup || fail "missing:" $absent "(install what your Rust came with, such as by rustup)"
    echo "setup: installing" $absent "with rustup"
    # Not quoted: words.
    rustup --quiet component add $absent || fail "cannot install $absent, see above"
}

system=$(uname -s)
# One line, words between spaces.
missing=$({
    missing_packages
    case ${1:-} in
        browser) missing_browser ;;
        sound) missing_sound ;;
    esac
} | tr '\n' ' ')
missing=${missing% }
if [ -n "$missing" ]; then
    case $system in
        Darwin)
            case $missing in
                *g++*) fail "missing: a C++ compiler; run xcode-select --install" ;;
                *) fail "missing: $missing; run brew install $missing" ;;
            esac
            ;;
        Linux)
            if has apt-get; then
                # Not quoted: words.
                install_with_apt $missing
            else
                fail "missing: $missing (Debian's names); install them with this system's package manager"
            fi
            ;;
        *) fail "missing: $missing; install them" ;;
    esac
fi
check_cargo
[ "${1:-}" != lint ] || check_lints
