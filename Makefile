# One command each. Everything happens in .venv, which is made on first use.
PYTHON ?= python3
VENV   := .venv
RUN    := $(VENV)/bin/python
READY  := $(VENV)/.ready

.PHONY: demo test lint bench figures clean

demo: $(READY)
	$(VENV)/bin/samdyn stability beale --box="-4.5,4.5;-4.5,4.5" --method usam --rho 0.05 --lr 0.001
	mkdir -p build
	$(VENV)/bin/samdyn portrait beale --box="-1.5,3.7;-0.5,2.7" --method gd --method sam --rho 0.5 --start 1,2 -o build/demo.svg

test: $(READY) lint
	$(RUN) -m pytest -n 2

lint: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/basedpyright --pythonpath $(RUN) --level error

bench: $(READY)
	$(VENV)/bin/python -m pip install --quiet -e '.[bench]'
	$(RUN) scripts/benchmarks/run.py

figures: $(READY)
	$(RUN) scripts/paper_figures.py

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --upgrade pip
	$(RUN) -m pip install --quiet -e '.[test]'
	touch $(READY)

clean:
	rm -rf $(VENV)
