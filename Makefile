# One command each. Everything happens in .venv, which is made on first use.
PYTHON ?= python3
VENV   := .venv
RUN    := $(VENV)/bin/python
READY  := $(VENV)/.ready
# Of every folder something: these run with the shapes of all annotations checked, which
# makes tests two to three times as slow, and with all that the compiler does for speed, which
# the others leave out.
CHECKED := tests/test_shapes.py tests/attractors/test_plane.py tests/dynamics/methods/test_method.py \
	tests/dynamics/regions/test_regions.py tests/programs/enclosing/test_boxes.py tests/losses/test_registry.py \
	tests/networks/training/test_sam_grad_fn.py tests/spectra/products/test_hessian.py

.PHONY: demo test thorough browser lint types docs bench figures clean

demo: $(READY)
	$(VENV)/bin/samdyn stability beale --box="-4.5,4.5;-4.5,4.5" --method usam --rho 0.05 --lr 0.001
	mkdir -p build
	$(VENV)/bin/samdyn portrait beale --box="-1.5,3.7;-0.5,2.7" --method gd --method sam --rho 0.5 --start 1,2 -o build/demo.svg

test: $(READY) lint
	$(RUN) -m pytest -n 2 --dist worksteal -m "not thorough"

thorough: $(READY) types
	SAMDYN_COMPILE_LEVEL=1 $(RUN) -m pytest -n 2 --dist worksteal -m thorough $(CHECKED:%=--ignore=%)
	XLA_FLAGS= $(RUN) -m pytest -n 2 --dist worksteal --jaxtyping-packages=samdyn,beartype.beartype $(CHECKED)

# Tests of the explorer want Debian's Chromium. Without one they are skipped.
browser:
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && timeout 120 apt-get update -qq \
		&& timeout 300 apt-get install -y -qq --no-install-recommends chromium >/dev/null; } \
		|| echo "there is no Chromium here: tests in a browser will be skipped"

lint: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

types: $(READY)
	$(VENV)/bin/basedpyright --pythonpath $(RUN) --level error

docs: $(READY)
	$(RUN) -m pip install --quiet -e '.[docs]'
	$(RUN) scripts/docs/build.py

bench: $(READY)
	$(VENV)/bin/python -m pip install --quiet -e '.[bench]'
	$(RUN) scripts/benchmarks/run.py

figures: $(READY)
	$(RUN) scripts/paper_figures.py

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --upgrade pip
	$(RUN) -m pip install --quiet --no-compile -e '.[test]'
	touch $(READY)

clean:
	rm -rf $(VENV)
