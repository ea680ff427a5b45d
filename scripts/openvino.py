#!/usr/bin/env python3
"""Fetch OpenVINO's CPU runtime into third_party/openvino.

OpenVINO's wheel on PyPI is 59 MB.  Five of its libraries do what casm needs, and wheels.py fetches
only these: the runtime, its C interface, the CPU plugin, the reader of its own format, and TBB.

Standard library only, Python 3.9 or newer.
"""

import sys

sys.dont_write_bytecode = True  # make's user may not be the one who owns this folder
import wheels

# casm takes any from 2025.1 on; this one is tested.
OPENVINO = "2026.4.1"

# For each wheel: project on PyPI, file name, size, SHA-256, SHA-256 of its RECORD, members wanted.
WHEELS = {
    "x86_64": [
        (
            "openvino",
            "openvino-2026.4.1-22982-cp311-cp311-manylinux_2_28_x86_64.whl",
            59130756,
            "2d22b1da03f7caf74df30e9f6417d0ab2f637e4a38e08e1dcd294d2c37407aaf",
            "0292576859a9b161432edc1e5f9cba11640d696b38a6dcea37f19e13fcb460ec",
            r"openvino/libs/(libopenvino|libopenvino_c|libopenvino_intel_cpu_plugin"
            r"|libopenvino_ir_frontend|libtbb)\.so[^/]*",
        ),
    ],
}

OWN_OPENVINO = (
    "An OpenVINO of your own, from 2025.1 on, does as well: pip install openvino, or export\n"
    "CASM_OPENVINO_DIR=/path/to/its/libraries."
)

if __name__ == "__main__":
    library = wheels.Library(
        name="openvino",
        wheels=WHEELS,
        probe="openvino/libs/libopenvino_intel_cpu_plugin.so",
        ready=f"OpenVINO {OPENVINO}",
        own=OWN_OPENVINO,
        elsewhere="export CASM_OPENVINO_DIR=<folder>",
    )
    wheels.main(library, __doc__)
