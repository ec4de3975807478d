# `make train` and `make test` set everything up themselves, once.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help setup train test quick check docs start-weights ui

help:            ## this list
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 15

setup: $(READY)  ## a virtual environment with the pinned packages, once

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

train: $(READY)  ## train on synthetic phantoms: minutes on two cores
	$(RUN)/python -m pipelines.train_xray configs/train_xray.yaml

test: check      ## the checks, then all tests
	$(RUN)/python -m pytest -n 2 --dist loadfile

quick: $(READY)  ## the fast tests of every package
	$(RUN)/python -m pytest -n 2 --dist loadfile -m 'not slow'

check: $(READY)  ## ruff, format, mypy --strict
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy

docs: $(READY)   ## the documentation as a site: site/index.html
	$(RUN)/properdocs build --quiet

start-weights: $(READY)  ## the start weights again, from phantoms: half an hour on two cores
	$(RUN)/python -m pipelines.train_xray configs/start_weights.yaml
	$(RUN)/python -c "from pathlib import Path; from medseg.training.start import ship; \
	  ship(Path('output/start_weights/best.pt'))"

ui: $(READY)     ## the MLflow UI on mlruns/mlflow.db
	MLFLOW_DISABLE_TELEMETRY=true $(RUN)/mlflow ui --backend-store-uri sqlite:///mlruns/mlflow.db
