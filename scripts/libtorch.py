#!/usr/bin/env python3
"""Fetch a light, CPU-only libtorch into third_party/libtorch.

PyTorch's wheel on PyPI is 530 MB, most of it CUDA kernels.  The CPU library and the headers are
a quarter of that, and wheels.py fetches only these.

Standard library only, Python 3.9 or newer.
"""

import sys

sys.dont_write_bytecode = True  # make's user may not be the one who owns this folder
import wheels

# tch 0.24 accepts exactly this version.
TORCH = "2.11.0"

# For each wheel: project on PyPI, file name, size, SHA-256, SHA-256 of its RECORD, members wanted.
# The NVIDIA wheels are there because the libtorch_cpu.so of PyPI's wheel is linked to libcudart
# and libcupti and does not load without them, even where there is no GPU.
WHEELS = {
    "x86_64": [
        (
            "torch",
            "torch-2.11.0-cp311-cp311-manylinux_2_28_x86_64.whl",
            530604548,
            "7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a",
            "86b11de9e81e378fe38d68644e581b98c138494d67197b94ba12eade2be836e7",
            r"torch/include/.+|torch/lib/(libtorch|libtorch_cpu|libc10|libgomp)\.so[^/]*",
        ),
        (
            "nvidia-cuda-runtime",
            "nvidia_cuda_runtime-13.0.96-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
            2243632,
            "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548",
            "34c7a65651597fd8a376b049b69bb26db399a9ea443a7a142ccd34f5a10f79c4",
            r"nvidia/cu13/lib/libcudart\.so[^/]*",
        ),
        (
            "nvidia-cuda-cupti",
            "nvidia_cuda_cupti-13.0.85-py3-none-manylinux_2_25_x86_64.whl",
            10715597,
            "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8",
            "f8ae8ddce85f8e319abac90e956bf45a572e31f4ff01af2d634f37aa3d78e3eb",
            r"nvidia/cu13/lib/libcupti\.so[^/]*",
        ),
    ],
    # Every library that libtorch_cpu.so names is there; never run on such a machine.
    "aarch64": [
        (
            "torch",
            "torch-2.11.0-cp311-cp311-manylinux_2_28_aarch64.whl",
            419718178,
            "d91aac77f24082809d2c5a93f52a5f085032740a1ebc9252a7b052ef5a4fddc6",
            "e4931d1af224e3e69f194c46667e22898830ee09efb52489a3f90ff55e219b5e",
            r"torch/include/.+|torch/lib/(libtorch|libtorch_cpu|libc10|libgomp"
            r"|libarm_compute|libarm_compute_graph|libnvpl_\w+)\.so[^/]*",
        ),
        (
            "nvidia-cuda-runtime",
            "nvidia_cuda_runtime-13.0.96-py3-none-manylinux2014_aarch64.manylinux_2_17_aarch64.whl",
            2261060,
            "ef9bcbe90493a2b9d810e43d249adb3d02e98dd30200d86607d8d02687c43f55",
            "8ff0b015e7bb39dbf9cfc2a997cdb581914c6661dbbdbc1a71c7cc3da6a4dc11",
            r"nvidia/cu13/lib/libcudart\.so[^/]*",
        ),
        (
            "nvidia-cuda-cupti",
            "nvidia_cuda_cupti-13.0.85-py3-none-manylinux_2_25_aarch64.whl",
            10310827,
            "796bd679890ee55fb14a94629b698b6db54bcfd833d391d5e94017dd9d7d3151",
            "d26eaae605b8bd5e97a7355a3938d2213f2062f0f23d2afd1c00c9d8647cf4a6",
            r"nvidia/cu13/lib/libcupti\.so[^/]*",
        ),
    ],
}

OWN_LIBTORCH = (
    f"A libtorch {TORCH} of your own does as well: export LIBTORCH=/path/to/libtorch, or, with\n"
    f"torch=={TORCH} installed for python3, export LIBTORCH_USE_PYTORCH=1."
)


def finish(dest):
    # torch-sys compares this with the version it wants.
    (dest / "torch" / "build-version").write_text(TORCH + "\n")


if __name__ == "__main__":
    library = wheels.Library(
        name="libtorch",
        wheels=WHEELS,
        probe="torch/lib/libtorch_cpu.so",
        ready=f"torch {TORCH}",
        own=OWN_LIBTORCH,
        elsewhere="export LIBTORCH=<folder>/torch",
        finish=finish,
    )
    wheels.main(library, __doc__)
