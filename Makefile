# Two commands for a fresh machine: `make demo` and `make test`. The rest is for people who change polyvec.
PYTHON ?= python3
VENV ?= .venv
PY := $(VENV)/bin/python
PIP := $(VENV)/bin/python -m pip
NATIVE := $(wildcard native/*.cpp native/*.hpp native/*.h native/kernels/*) CMakeLists.txt native/CMakeLists.txt native/compiler.cmake

export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: demo test test-all check native docs examples pictures reproduce crash attack chaos cluster-build cluster-chaos fuzz tsan publish-rounds stubs results bench wheels other-platforms surface workflows sbom release-ready clean

demo: $(VENV)/.installed
	$(VENV)/bin/polyvec demo

test: $(VENV)/.installed-dev
	$(PY) -m pytest -q

# What needs more packages or more minutes than `make test`: frameworks, a pretended S3, a browser (Debian's chromium), kernels of
# other processors (Debian's libsimde-dev). With it, and with the Debian packages that .ci/run names, nothing of the suite is left out.
test-all: $(VENV)/.installed-all
	$(PY) -m pytest -q -m heavy

check: $(VENV)/.installed-dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

# Builds the extension again in place after a change under native/.
native: $(VENV)/.installed-dev
	$(PIP) install -q --no-build-isolation --no-deps -e .

# Writes the pages that are generated, builds the site into build/site (a warning, a dead link or a public name that is left out ends
# it), and runs every block of the pages. Needs no network once it is installed.
docs: $(VENV)/.installed-docs
	$(PY) -m tests.cli.reference
	$(PY) -m tests.docs.http_page
	$(PY) -m tests.docs.recipe_page
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --quiet --strict
	$(PY) -m pytest -q tests/test_readme.py tests/docs

# Runs every program and notebook of examples/ and compares what they print with what was kept: some minutes.
examples: $(VENV)/.installed-all
	$(PY) -m tests.example_outputs

# Draws docs/images/*.svg and writes the engine's tables from benchmarks/results; after a new measurement.
pictures: $(VENV)/.installed-dev
	$(PY) benchmarks/plots.py
	$(PY) benchmarks/engine.py --part report

# Runs the listed results again; DATA is a folder of BEIR datasets, and what needs one that is not there is passed over.
DATA ?= $(wildcard ../shared/data/eval)
reproduce: $(VENV)/.installed
	$(VENV)/bin/polyvec reproduce recipes/expected.toml $(if $(DATA),--data $(DATA))

# Over a thousand kills of a writing process, and errors at every system call: about a quarter of an hour.
crash: $(VENV)/.installed-dev
	$(PY) -m tests.crash.harness

# 10,000 made-up requests to the server, checked against its description, and a list of attacks: some minutes.
attack: $(VENV)/.installed-all
	$(PY) -m tests.serve.contract --cases 10000
	$(PY) -m pytest -q tests/serve/test_attacks.py

# A server that is killed again and again while clients search, write and delete: ten minutes.
chaos: $(VENV)/.installed-dev
	$(PY) -m tests.serve.chaos --minutes 10

# 20,000 documents on three hosts of a Ray cluster, a process and then a host killed, held against one machine's index: a quarter of
# an hour on two cores.
cluster-build: $(VENV)/.installed-all
	$(PY) -m tests.cluster.build_long

# Four shards on three hosts (network namespaces: needs root), asked while replicas die, a host is cut off and a version rolls in:
# ten minutes.
cluster-chaos: $(VENV)/.installed-all
	$(PY) -m tests.cluster.serve_long --minutes 5

# 100,000 damaged index files, read by an extension built with the address and undefined sanitizers: some minutes.
SANITIZED := build/sanitized-site
fuzz: $(VENV)/.installed-dev
	CXXFLAGS="-fsanitize=address,undefined -fno-sanitize-recover=undefined -g" LDFLAGS="-fsanitize=address,undefined" $(PIP) install -q \
	  --no-build-isolation --no-deps --config-settings=build-dir=build/sanitized --target $(SANITIZED) --upgrade .
	LD_PRELOAD="$$(g++ -print-file-name=libasan.so) $$(g++ -print-file-name=libubsan.so)" ASAN_OPTIONS=detect_leaks=0 \
	  PYTHONPATH=$(SANITIZED):$$($(PY) -c "import sysconfig; print(sysconfig.get_path('purelib'))"):. \
	  $(PY) -S -m tests.index.fuzz_files

# Eight callers of the thread pool and of the candidate search, under the thread sanitizer.
tsan: $(VENV)/.installed-dev
	$(PY) -m pytest -q tests/native/test_sanitized.py -k threads

# Two publishers against each other in 200 rounds, in a folder and in pretended object stores: a quarter of an hour.
publish-rounds: $(VENV)/.installed-all
	POLYVEC_ROUNDS=200 $(PY) -m pytest -q -rP -m "heavy or not heavy" --timeout=7200 tests/publish -k two_publishers

# The type stub of the extension, from its bindings.
stubs: native
	$(PY) native/stubs.py

# Writes the values found into the list and the tables from the list; after a new default model.
results: $(VENV)/.installed
	$(VENV)/bin/polyvec reproduce recipes/expected.toml $(if $(DATA),--data $(DATA)) --all --update --page docs/results.md

bench: $(VENV)/.installed-dev
	$(PY) benchmarks/maxsim.py

# The source distribution and wheels for every Python here, in dist/: checked, and tried in empty environments without a compiler.
# WHEEL_OPTIONS="--target linux-aarch64" makes those of another processor; --own-compiler uses this machine's (macOS).
wheels: $(VENV)/.installed-release
	$(PY) scripts/wheels.py --try-out $(WHEEL_OPTIONS)

# Compiles the native core for Linux on aarch64, macOS and Windows, and runs the kernels for aarch64 in an emulator where there is one.
other-platforms: $(VENV)/.installed-release
	$(PY) scripts/other_platforms.py

# Makes a wheel for Linux on aarch64, and tries it in Debian's Python for that processor, emulated (Debian: qemu-user, debootstrap; root).
try-aarch64: $(VENV)/.installed-release
	$(PY) scripts/wheels.py --target linux-aarch64 --python $(PY) --out build/aarch64
	$(PY) scripts/try_aarch64.py build/aarch64/polyvec-*-cp311-*_aarch64.whl

# Writes the lists of names, options and calls that users write against; a test compares them with the program.
surface: $(VENV)/.installed-dev
	$(PY) -m tests.release.surface

# Checks .github/ as far as it can be checked without GitHub.
workflows: $(VENV)/.installed-release
	$(VENV)/bin/actionlint
	$(VENV)/bin/zizmor --offline --no-progress --quiet .github
	$(PY) -m pytest -q tests/release/test_workflows.py

# What an installed wheel of dist/ brings along, as CycloneDX: build/sbom.cdx.json.
sbom: $(VENV)/.installed-release
	$(PY) scripts/sbom.py

# What must be true of a checkout before its version is tagged.
release-ready: $(VENV)/.installed-dev
	$(PY) scripts/release_ready.py

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml constraints.txt $(NATIVE)
	$(PIP) install -q -c constraints.txt scikit-build-core nanobind
	$(PIP) install -q -c constraints.txt --no-build-isolation -e ".[eval]"
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) install -q -c constraints.txt torch==2.13.0
	$(PIP) install -q -c constraints.txt --no-build-isolation -e ".[dev]"
	touch $@

$(VENV)/.installed-docs: $(VENV)/.installed-dev
	$(PIP) install -q -c constraints.txt --no-build-isolation -e ".[docs]"
	touch $@

$(VENV)/.installed-all: $(VENV)/.installed-dev
	$(PIP) install -q -c constraints.txt --no-build-isolation -e ".[heavy]"
	touch $@

$(VENV)/.installed-release: $(VENV)/.installed-dev
	$(PIP) install -q -c constraints.txt --no-build-isolation -e ".[release]"
	touch $@

clean:
	rm -rf build $(VENV) .pytest_cache .hypothesis .mypy_cache .ruff_cache
