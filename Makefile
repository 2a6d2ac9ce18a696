# One virtual environment in .venv, made by whichever target comes first, and a light one on top of it for what needs the
# extra `demo`; `make` alone lists the targets.

# The first of these that runs, is 3.11 to 3.13 and can make environments; or say which: make PYTHON=/path/to/python
CANDIDATES := python3.13 python3.12 python3.11 python3
CAN_SERVE := import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
PYTHON ?= $(strip $(shell for p in $(CANDIDATES); do $$p -c '$(CAN_SERVE)' >/dev/null 2>&1 && echo $$p && break; done))
PY := .venv/bin/python
DEMO_PY := .venv-demo/bin/python
SITE_OF = -c 'import sysconfig; print(sysconfig.get_path("purelib"))'
# Where the runtime of pages is kept; name another one that holds it, and npm is not asked.
GAN_LAB_CACHE ?= $(CURDIR)/build/cache
PICTURE_TESTS := tests/data/test_data_kind_a.py tests/data/test_data_pictures.py tests/translation/test_translation_reading.py tests/sharing

.PHONY: help demo test test-browser test-slow test-slurm check docs clean

help:
	@echo 'make demo       train a conditional R3GAN on handwritten digits in minutes (set-up and data included); write a report'
	@echo 'make test       the tests: offline, on the CPU'
	@echo 'make test-browser the demo and exported pages in Chromium, and pictures read by the older Pillow'
	@echo 'make test-slow  the tests that take minutes each'
	@echo 'make test-slurm the tests that start a SLURM cluster of their own'
	@echo 'make check      formatting, lint and types'
	@echo 'make docs       the documentation as a site that needs no network: build/site/index.html'
	@echo 'make clean      remove .venv, caches and build outputs; runs/ and data/ stay'

.venv/.installed: pyproject.toml
	@test -n '$(PYTHON)' && $(PYTHON) -c '$(CAN_SERVE)' 2>/dev/null || { \
	  echo "gan_lab needs Python 3.11, 3.12 or 3.13 with venv. Tried: $(or $(PYTHON),$(CANDIDATES))." >&2; \
	  echo "Install one (on Debian and Ubuntu: apt install python3 python3-venv), or name it: make PYTHON=/path/to/python" >&2; \
	  exit 1; }
	@test ! -L .venv || { echo '.venv is a link, and what it names would be cleared: remove the link, or run in its place.' >&2; exit 1; }
	$(PYTHON) -m venv --clear .venv
	$(PY) -m pip install -e '.[dev,docs,onnx,slurm,sweep,tensorboard,transformers]'
	@touch $@

demo: .venv/.installed
	$(PY) -m gan_lab.train experiment=r3gan_conditional_digits callbacks.pictures.columns=10 run_dir=runs/demo
	$(PY) -m gan_lab.report runs/demo --out runs/demo/report.html

test: .venv/.installed
	$(PY) -m pytest -n 2

# Gradio wants a Pillow before 13: both go here, and all else is that of .venv, so that torch is not installed again.
.venv-demo/.installed: .venv/.installed
	$(PY) -m venv --clear .venv-demo
	$(PY) $(SITE_OF) > "$$($(DEMO_PY) $(SITE_OF))/of_venv.pth"
	$(DEMO_PY) -m pip install -q -e '.[demo]'
	@touch $@

test-browser: .venv-demo/.installed
	$(DEMO_PY) -m pytest -q $(PICTURE_TESTS)
	GAN_LAB_CACHE='$(GAN_LAB_CACHE)' PYTHONPATH=tests $(DEMO_PY) -m in_browser
	GAN_LAB_CACHE='$(GAN_LAB_CACHE)' $(DEMO_PY) -m pytest -q -n 2 --dist loadfile -m browser --no-skips tests/test_demo.py tests/exporting

test-slow: .venv/.installed
	$(PY) -m pytest -n 2 -m 'slow and not slurm'
	$(PY) -m pytest -m 'slow and slurm' -rs

test-slurm: .venv/.installed
	$(PY) -m pytest -m 'slurm and not slow' -rs tests/slurm

check: .venv/.installed
	$(PY) -m ruff format --check
	$(PY) -m ruff check
	$(PY) -m mypy

docs: .venv/.installed
	$(PY) -m sphinx -q -W --keep-going -j 2 -c docs -d build/doctrees . build/site
	@echo 'build/site/index.html'

clean:
	rm -rf .venv .venv-demo .mypy_cache .pytest_cache .ruff_cache build dist docs/reference *.egg-info
	find docs gan_lab tests benchmarks -type d -name __pycache__ -prune -exec rm -rf {} +
