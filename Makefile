# The developer's manual: `make demo`, `make test`, `make check`, `make clean`. Each sets up what it needs.

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
VENV := .venv
READY := $(VENV)/.ready
RUN := PATH="$(CURDIR)/$(VENV)/bin:$$PATH"

.PHONY: help demo embedded test check lock clean

help:
	@echo "make demo      install everything, then run the whole study on the embedded data set (CPU, minutes)"
	@echo "make embedded  the same data set taken further: five seeds, the ablations (CPU, about an hour)"
	@echo "make test      install everything, then run the test suite"
	@echo "make check     install everything, then lint"
	@echo "make clean     remove the demo's results and the generated data sets"

demo: $(READY)
	@echo "== Running the demo study: real video files, every stage, 2 cores: about 12 minutes"
	@$(RUN) snakemake all --cores all --configfile config/demo.yaml
	@echo "== Done: open results/demo/report.html; tables and figures lie beside it"

embedded: $(READY)
	@echo "== Running the embedded study: five seeds and the ablations, 2 cores: about an hour"
	@$(RUN) snakemake all --cores all --configfile config/embedded.yaml
	@echo "== Done: open results/embedded/report.html"

test: $(READY)
	@echo "== Running the test suite"
	@$(RUN) python -m pytest -n 2 --dist worksteal --durations 20

check: $(READY)
	@echo "== Checking format and style"
	@$(RUN) ruff format --check .
	@$(RUN) ruff check .
	@$(RUN) snakefmt --check Snakefile workflow

# Installing again is needed only when the list of dependencies changes.
$(READY): pyproject.toml constraints.txt
	@echo "== Installing into $(VENV): several GB with PyTorch, a few minutes the first time"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed, $(PYTHON) is older: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

# Resolve the newest versions that pyproject.toml allows and write them down.
lock: $(READY)
	@$(VENV)/bin/python -m pip install --quiet --dry-run --ignore-installed --report .lock.json -e '.[dev]'
	@$(VENV)/bin/python -c 'import json; packages = [p["metadata"] for p in json.load(open(".lock.json"))["install"]]; \
	  names = sorted("{}=={}".format(p["name"].lower(), p["version"]) for p in packages if p["name"] != "dynamonet"); \
	  open("constraints.txt", "w").write("# Versions that the tests run with; `make lock` writes this file anew.\n" + "\n".join(names) + "\n")'
	@rm .lock.json

clean:
	rm -rf results/demo data/motion-* .pytest_cache .ruff_cache
