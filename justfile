# The commands one needs from day to day; `just` alone lists them.

default:
    @just --list --unsorted

# Every test on every backend there is; BACKENDS (such as cpu,wgpu,emulator) must be there
test BACKENDS="cpu":
    REQUIRE={{BACKENDS}} cargo test --features emulator

# The quickest look at a change: layers, executors, scheduler and kernels, in less than a minute once it is built
smoke:
    cargo test --test architecture --test compute --test kernels
    cargo test --test engine -- scheduler:: sampler::

# One kernel: its texts against its table, and its cases on every backend; fails where there are none
kernel NAME:
    KERNEL={{NAME}} cargo test --features emulator --test kernels -- selection:: twins:: cases::{{NAME}}::

# The faults planted in one kernel's Metal text, each of which its cases must catch
mutations NAME:
    KERNEL={{NAME}} cargo test --features emulator --test kernels -- --exact mutations::every_text_has_faults mutations::{{NAME}}

# Formatting, and clippy with and without wgpu
lint:
    .ci/run lint

# Lint everything for macOS on Debian; a Mac needs `cargo clippy --all-targets` only
mac-check:
    .ci/run mac

# On a Mac: every test on Metal and wgpu, and measured speed beside the predicted; writes target/metal-report.md
mac SHAPE="0.8b":
    .ci/mac {{SHAPE}}

# Prefill and decode speed on this machine
bench *ARGUMENTS:
    cargo run --release -- bench {{ARGUMENTS}}

# How speed changes with the context and with sequences, as a table and as docs/growth.svg
growth *ARGUMENTS:
    cargo run --release -- bench growth --shape 0.8b --svg docs/growth.svg {{ARGUMENTS}}

# Where a step's time goes, kernel by kernel; with `--trace FILE` as a timeline for Perfetto
profile *ARGUMENTS:
    cargo run --release -- bench --profile --shape 0.8b {{ARGUMENTS}}

# One kernel alone, on buffers that are in no cache and on some that are
bench-kernel NAME *ARGUMENTS:
    cargo run --release -- bench kernel {{NAME}} --shape 0.8b {{ARGUMENTS}}

# All that a change must pass
ci:
    .ci/run

# Make the golden fixtures anew; PYTHON has the packages that the script names
fixtures PYTHON="python3" *NAMES:
    {{PYTHON}} tests/fixtures/make.py {{NAMES}}
