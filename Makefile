# Entry points; `make` alone lists them. Each runs `setup` first, which does nothing when all is there.

PREFIX ?= /usr/local
OUT ?= demo-out
PYTHON ?= python3
export PREFIX DESTDIR GSTPLUGINDIR

CARGO ?= cargo
# Always the whole workspace: with -p cargo would choose other features for shared dependencies and
# compile them, and libtorch's bindings with them, a second time.
CARGO_FLAGS = --release --workspace --locked

RELEASE = $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)/release
# The plugin has a folder of its own, because GStreamer tries to load every library beside a plugin.
PLUGINS = $(RELEASE)/gstreamer-1.0

.DEFAULT_GOAL := help
# cargo is parallel itself, and two of them at once would only wait for each other.
.NOTPARALLEL:
.PHONY: help setup setup-openvino build demo test test-matrix lint deny bench bench-pipeline bench-frame bench-gpu bench-train bench-upstream soak valgrind reproduce-small model gpu-bundle gpu-check gpu-shim install uninstall clean distclean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what is missing: system packages (with sudo), libtorch
	@scripts/setup.sh

setup-openvino: ## fetch OpenVINO's CPU runtime (25 MB), the faster engine on x86 CPUs; used when it is there
	@$(PYTHON) scripts/openvino.py

build: setup ## build everything, optimised, into target/release
	$(CARGO) build $(CARGO_FLAGS) --lib --bins --examples
	@mkdir -p $(PLUGINS) && ln -sf ../libgstcasm.so $(PLUGINS)/

demo: export GST_PLUGIN_PATH = $(PLUGINS)
demo: build ## outline the main object of a clip: INPUT=file, uri or /dev/videoN (default: a rendered scene), OUT=demo-out
	$(RELEASE)/examples/demo $(if $(INPUT),--input "$(INPUT)") --out "$(OUT)"

# The tests load the libraries that `build` leaves in target/release.
test: build ## run all tests: TESTFLAGS="-- name" for some
	$(CARGO) test $(CARGO_FLAGS) $(TESTFLAGS)

test-matrix: ## run the element's tests on GStreamer 1.26 and 1.28, in Debians of their own (root, debootstrap): SUITES="trixie sid"
	@scripts/matrix.sh $(SUITES)

lint: setup ## check formatting, clippy and documentation
	$(CARGO) fmt --all --check
	$(CARGO) clippy $(CARGO_FLAGS) --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc $(CARGO_FLAGS) --no-deps

deny: ## check dependencies: licences, advisories, sources
	@$(CARGO) deny --version >/dev/null 2>&1 || \
		{ echo "cargo-deny is missing: $(CARGO) install --locked cargo-deny" >&2; exit 1; }
	$(CARGO) deny check

bench: export GST_PLUGIN_PATH = $(PLUGINS)
bench: build ## write docs/performance.md (10 minutes, idle machine): PAGE=, PYTHON="python3 ..." with torch, onnxruntime, openvino
	$(RELEASE)/examples/bench --board $(or $(PAGE),docs/performance.md) $(foreach python,$(PYTHON),--python $(python)) $(BENCHFLAGS)

bench-pipeline: export GST_PLUGIN_PATH = $(PLUGINS)
bench-pipeline: build ## measure the element in a pipeline against the bare network: BENCHFLAGS="..."
	$(RELEASE)/examples/bench $(BENCHFLAGS)

bench-frame: setup ## measure what a frame costs beside the network, at 1080p: BENCHFLAGS="input"
	$(CARGO) bench --workspace --locked --bench frame -- $(BENCHFLAGS)

bench-gpu: export GST_PLUGIN_PATH = $(PLUGINS)
bench-gpu: build ## measure a CUDA GPU, write docs/performance-gpu.md (5 minutes): BENCHFLAGS="--cudnn-benchmark"
	$(RELEASE)/examples/bench_gpu --out docs/performance-gpu.md $(BENCHFLAGS)

bench-train: build ## measure a training step against plain PyTorch: PYTHON=python3 with torch 2.11, BENCHFLAGS="..."
	$(RELEASE)/examples/bench_train --python $(PYTHON) $(BENCHFLAGS)

bench-upstream: ## write docs/performance-upstream.md: against GStreamer 1.28's onnxinference, in a Debian sid (root, debootstrap): CLIP= MODELS= CORE= ROUNDS=
	@CLIP="$(CLIP)" MODELS="$(MODELS)" CORE="$(CORE)" ROUNDS="$(ROUNDS)" ONNXRUNTIME="$(ONNXRUNTIME)" scripts/upstream.sh

soak: export CARGO_FLAGS := $(CARGO_FLAGS)
soak: export PLUGINS := $(PLUGINS)
soak: build ## endurance, disorder, damaged files, for hours: FRAMES=100000 RENEGOTIATIONS= INTERRUPTIONS= OVERLOAD=600 DAMAGED= OUT=soak-out
	@CARGO=$(CARGO) scripts/soak.sh

valgrind: build ## start and stop of the element under valgrind; takes minutes
	@PLUGINS=$(PLUGINS) scripts/valgrind.sh

model: build ## train the built-in model again and score it: DATA=../shared/data OUT=run-model SEED=0
	CASM=$(RELEASE)/casm OUT=$(if $(filter demo-out,$(OUT)),run-model,$(OUT)) scripts/model.sh

reproduce-small: build ## run the paper's tables and figures at toy scale: SMOKE=1 STEPS=240 MINUTES= OUT=reproduce-small
	@CASM=$(RELEASE)/casm scripts/reproduce_small.sh

# TF32 rounds products to 10 bits, which the reference numbers' tolerances do not allow for.
gpu-check: export NVIDIA_TF32_OVERRIDE = 0
gpu-check: build ## run the tests that need a CUDA GPU
	$(CARGO) test $(CARGO_FLAGS) --features casm-tests/cuda-tests --test cuda $(TESTFLAGS)

gpu-bundle: build ## what gpu-check and bench-gpu run, for a machine with a GPU and Python's torch alone: target/gpu-bundle
	@PYTHON=$(PYTHON) scripts/gpu_bundle.sh "$$($(CARGO) test $(CARGO_FLAGS) --features casm-tests/cuda-tests --test cuda --no-run 2>&1 | \
		sed -n 's/.*Executable.*(\(.*\))/\1/p')"

gpu-shim: setup ## compile-check the part in C++ that only CUDA builds have, without CUDA and GPU
	@PYTHON=$(PYTHON) scripts/check_shim.sh

install: ## install what `make build` built: PREFIX=/usr/local, DESTDIR, GSTPLUGINDIR
	@scripts/install.sh install

uninstall: ## remove what `make install` installed
	@scripts/install.sh uninstall

clean: ## remove what was built
	$(CARGO) clean
	rm -rf demo-out

distclean: clean ## remove libtorch and OpenVINO as well
	rm -rf third_party
