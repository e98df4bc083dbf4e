#!/bin/sh
# Checks one Metal shader with strict address spaces, and as the emulator compiles it:
#   check.sh msl/X.metal K=1024 LANES=128 x=f16 w=bf16     defines, and elements of float bindings (f16 where not said)
set -eu
here=$(dirname "$(readlink -f "$0")")
binary=/tmp/bimetal-check-$(cat "$here"/*.rs | cksum | tr ' ' -)
[ -x "$binary" ] || { rustc --edition 2024 -A warnings -C opt-level=1 -o "$binary.$$" "$here/check.rs" && mv "$binary.$$" "$binary"; }
exec "$binary" "$here/shim" "$@"
