# Read by slmbench, test and check, which so build llama.cpp once and with the same flags.
#
# Needs from its caller: nothing but a POSIX shell. Gives:
#   root                  the repository
#   take_option OPTION    notes one of our own options; fails when it is none of them
#   set_up                finds cargo and, unless --no-llama-cpp, what llama.cpp is built with;
#                         exports the flags; ends the script with 2 when something is missing
#   cargo_here ARGS…      cargo in the repository, whatever the working directory
#   features, target_dir  what to build, and where it goes
# shellcheck shell=sh disable=SC2034

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)

with_llama_cpp=yes
agreed=no
backends=

take_option() {
    case $1 in
        --yes) agreed=yes ;;
        --no-llama-cpp) with_llama_cpp=no ;;
        --cuda | --vulkan | --metal) backends="$backends ${1#--}" ;;
        *) return 1 ;;
    esac
}

say() {
    printf '%s\n' "$*" >&2
}

# Wrong use, or something that only the person at the keyboard can mend.
give_up() {
    say "$@"
    exit 2
}

have() {
    command -v "$1" >/dev/null 2>&1
}

# --- what is needed -----------------------------------------------------------------------------

find_cxx() {
    for candidate in "${CXX:-}" c++ g++ clang++; do
        if [ -n "$candidate" ] && have "$candidate"; then
            printf '%s\n' "$candidate"
            return 0
        fi
    done
    return 1
}

# A library the C++ compiler links in whole, so that the program needs none at run time.
has_static() {
    file=$("$(find_cxx)" -print-file-name="$1" 2>/dev/null) && [ -f "$file" ]
}

any_file() {
    for file in "$@"; do
        [ -e "$file" ] && return 0
    done
    return 1
}

# A folder that holds libclang; libclang-cpp, which is something else, does not count.
libclang_in() {
    any_file "$1"/libclang.so* "$1"/libclang-[0-9]*.so* "$1"/libclang.dylib
}

# Where bindgen looks, in its order.
has_libclang() {
    if [ -n "${LIBCLANG_PATH:-}" ]; then
        [ -f "$LIBCLANG_PATH" ] || libclang_in "$LIBCLANG_PATH"
        return
    fi
    if have llvm-config && libclang_in "$(llvm-config --libdir 2>/dev/null)"; then
        return 0
    fi
    for ldconfig in ldconfig /sbin/ldconfig; do
        if have "$ldconfig" &&
            "$ldconfig" -p 2>/dev/null | grep -q -e 'libclang\.so' -e 'libclang-[0-9][0-9.]*\.so'; then
            return 0
        fi
    done
    for folder in /usr/lib/llvm-*/lib /usr/lib64 /usr/lib /usr/local/lib /opt/homebrew/opt/llvm/lib \
        /usr/local/opt/llvm/lib /Library/Developer/CommandLineTools/usr/lib; do
        libclang_in "$folder" && return 0
    done
    return 1
}

# libclang without clang's own headers (the bare run-time library) borrows the compiler's.
lend_headers() {
    [ -n "${BINDGEN_EXTRA_CLANG_ARGS:-}" ] && return
    any_file /usr/lib/llvm-*/lib/clang/*/include/stdbool.h /usr/lib/clang/*/include/stdbool.h \
        /usr/lib64/clang/*/include/stdbool.h "${LIBCLANG_PATH:-/nowhere}"/clang/*/include/stdbool.h \
        "${LIBCLANG_PATH:-/nowhere}"/../lib/clang/*/include/stdbool.h && return
    headers=$("$(find_cxx)" -print-file-name=include 2>/dev/null) || return 0
    if [ -f "$headers/stdbool.h" ]; then
        BINDGEN_EXTRA_CLANG_ARGS="-isystem $headers"
        export BINDGEN_EXTRA_CLANG_ARGS
    fi
}

# What is missing, one word each: compiler runtime make cmake libclang vulkan.
find_missing() {
    missing=
    if find_cxx >/dev/null; then
        if [ "$(uname -s)" = Linux ] && ! { has_static libstdc++.a && has_static libgomp.a; }; then
            missing="$missing runtime"
        fi
    else
        missing="$missing compiler"
    fi
    have make || have gmake || missing="$missing make"
    have cmake || missing="$missing cmake"
    has_libclang || missing="$missing libclang"
    case $backends in
        *vulkan*) have glslc || missing="$missing vulkan" ;;
    esac
    [ -n "$missing" ]
}

# --- getting it ---------------------------------------------------------------------------------

find_manager() {
    for manager in apt-get dnf pacman apk brew; do
        have "$manager" && return 0
    done
    manager=
    return 1
}

# The manager's packages for everything in $missing.
packages() {
    for what in $missing; do
        case $manager:$what in
            apt-get:compiler | apt-get:runtime) echo g++ ;;
            apt-get:libclang) echo libclang-dev ;;
            apt-get:vulkan) echo libvulkan-dev glslc spirv-headers ;;
            dnf:compiler) echo gcc-c++ libstdc++-static ;;
            dnf:runtime) echo libstdc++-static ;;
            dnf:libclang) echo clang-devel ;;
            dnf:vulkan) echo vulkan-loader-devel vulkan-headers glslc spirv-headers-devel ;;
            pacman:compiler | pacman:runtime) echo gcc ;;
            pacman:libclang) echo clang ;;
            pacman:vulkan) echo vulkan-icd-loader vulkan-headers shaderc spirv-headers ;;
            apk:compiler | apk:runtime) echo g++ ;;
            apk:libclang) echo clang-dev ;;
            apk:vulkan) echo vulkan-loader-dev vulkan-headers shaderc spirv-headers ;;
            brew:compiler | brew:runtime) echo gcc ;;
            brew:libclang) echo llvm ;;
            brew:vulkan) echo vulkan-loader vulkan-headers shaderc spirv-headers ;;
            *) echo "$what" ;;
        esac
    done | tr '\n' ' ' | sed 's/ *$//'
}

# The command that gets them, as a person would type it.
install_command() {
    case $manager in
        apt-get) echo "${1}apt-get install -y --no-install-recommends $(packages)" ;;
        dnf) echo "${1}dnf install -y $(packages)" ;;
        pacman) echo "${1}pacman -S --needed $(packages)" ;;
        apk) echo "${1}apk add $(packages)" ;;
        brew) echo "brew install $(packages)" ;;
    esac
}

in_words() {
    for what in $missing; do
        case $what in
            compiler) echo "a C++ compiler" ;;
            runtime) echo "the compiler's static libraries (libstdc++.a, libgomp.a)" ;;
            vulkan) echo "the Vulkan shader compiler (glslc)" ;;
            *) echo "$what" ;;
        esac
    done | sed 's/^/  /'
}

get_missing() {
    say "llama.cpp is built from source, and for that this machine lacks:
$(in_words)"
    find_manager || give_up "Please install it and try again, or leave llama.cpp out: \
scripts/slmbench --no-llama-cpp …"

    sudo=
    [ "$(id -u)" = 0 ] || sudo='sudo '
    if [ "$manager" = apt-get ] && { [ -z "$sudo" ] || [ "$agreed" = yes ] || [ -n "${CI:-}" ]; }; then
        command=$(install_command "$sudo")
        say "Installing: $command"
        # A fresh machine has no package lists; one with old lists installs all the same.
        # shellcheck disable=SC2086
        ${sudo}apt-get update -qq >&2 || say "The package lists could not be refreshed; going on."
        # shellcheck disable=SC2086
        ${sudo:+sudo} env DEBIAN_FRONTEND=noninteractive ${command#"$sudo"} >&2 ||
            give_up "The installation failed. What was tried: $command"
        find_missing && give_up "Still missing after the installation:
$(in_words)"
        return 0
    fi
    say "To install it:

    $(install_command "$sudo")
"
    [ "$manager" = apt-get ] && say "(scripts/slmbench --yes runs this for you.)"
    give_up "Without llama.cpp, nothing of this is needed: scripts/slmbench --no-llama-cpp …"
}

# --- a fault of a compiler ----------------------------------------------------------------------

# Where GCC 12.2 has built llama.cpp for a machine with AMX, quantised models end with SIGSEGV:
# shim/gcc_amx.h tells why, and mends it. Machines without AMX are left alone.
mend_amx() {
    grep -qs '^flags.* amx_tile' "${SLMBENCH_ROOT:-}/proc/cpuinfo" || return 0
    # CXXFLAGS are words, so no path with a space can stand in them: then AMX is left out.
    case $root in
        *[[:space:]]*) flags='-mno-amx-tile -mno-amx-int8 -mno-amx-bf16' ;;
        *) flags="-include $root/shim/gcc_amx.h" ;;
    esac
    CXXFLAGS="${CXXFLAGS:+$CXXFLAGS }$flags"
    export CXXFLAGS
}

# --- setting up ---------------------------------------------------------------------------------

set_up() {
    if ! have cargo; then
        if [ -x "${CARGO_HOME:-${HOME:-/nowhere}/.cargo}/bin/cargo" ]; then
            PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
            export PATH
        else
            give_up "cargo was not found: slmbench is written in Rust and built from source
hint: install Rust as https://rustup.rs says, and try again"
        fi
    fi

    target_dir=${CARGO_TARGET_DIR:-$root/target}
    case $target_dir in
        /*) ;;
        *) target_dir=$PWD/$target_dir ;;
    esac
    features=
    if [ "$with_llama_cpp" = no ]; then
        [ -z "$backends" ] || give_up "--no-llama-cpp and --${backends# } exclude each other"
        export CARGO_TARGET_DIR="$target_dir"
        return 0
    fi

    case $backends in
        *cuda*) have nvcc || [ -x "${CUDA_PATH:-/usr/local/cuda}/bin/nvcc" ] || give_up \
            "--cuda needs NVIDIA's CUDA toolkit: nvcc was not found on PATH or in \
${CUDA_PATH:-/usr/local/cuda}/bin" ;;
    esac
    case $backends in
        *metal*) [ "$(uname -s)" = Darwin ] || give_up "--metal is for macOS; this is $(uname -s)" ;;
    esac
    if find_missing; then
        get_missing
    fi
    lend_headers
    mend_amx

    # What needs a C compiler or more; the pure build takes neither.
    features=llama-cpp,download
    for backend in $backends; do
        features=$features,$backend
    done
    # The one switch that makes the bindings build ggml for this machine, on x86-64 and ARM64.
    # Programs built so stay in a folder of their own.
    case ${RUSTFLAGS:-} in
        *target-cpu=*) ;;
        *) RUSTFLAGS="${RUSTFLAGS:+$RUSTFLAGS }-C target-cpu=native" ;;
    esac
    target_dir=$target_dir/native
    export RUSTFLAGS CARGO_TARGET_DIR="$target_dir"
}

cargo_here() {
    (cd -- "$root" && cargo "$@")
}
