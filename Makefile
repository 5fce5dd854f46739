# Every command builds .venv by itself when it is missing or older than requirements.lock.
PYTHON ?= python3
BIN := .venv/bin
DEMO_FLAGS ?=
VERIFY_FLAGS ?=
KILLS ?= 50
PARALLEL := -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: demo test test-runs lint docs bench results verify soak lock clean

demo: .venv/ready
	$(BIN)/python launch.py --experiment=char_lm --workdir=runs/demo --workers=2 \
	  --sweep=cell=rnn,gru,lstm --sweep=seed=0..1 --config.hidden=128 --config.steps=2000 \
	  --config.learning_rate=0.01 --config.input_scale=0.3 --config.eval_every=200 \
	  --config.heldout_characters=50000 $(DEMO_FLAGS)

test: .venv/ready
	$(BIN)/python -m pytest $(PARALLEL) --ignore=tests/runs

test-runs: .venv/ready
	$(BIN)/python -m pytest $(PARALLEL) tests/runs

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: .venv/ready
	$(BIN)/python -m sphinx -q -W --keep-going -b html -c docs . docs/_build

bench: .venv/ready
	$(BIN)/python -m bench.loop
	$(BIN)/python -m bench.replicas
	$(BIN)/python -m bench.recurrent
	$(BIN)/python -m bench.multidim
	$(BIN)/python -m bench.decoding
	$(BIN)/python -m bench.ctc
	$(BIN)/python -m bench.word2vec
	$(BIN)/python -m bench.softmax
	$(BIN)/python -m bench.word_lm
	$(BIN)/python -m bench.convolution
	$(BIN)/python -m bench.imagenet
	$(BIN)/python -m bench.kneser_ney
	$(BIN)/python -m bench.cold_start

results: .venv/ready
	$(BIN)/python -m experiments.report.systems
	$(BIN)/python -m bench.ratios

verify: .venv/ready
	$(BIN)/python -m bench.verify $(ROW) $(VERIFY_FLAGS)

soak: .venv/ready
	$(BIN)/python -m pytest -s --kills=$(KILLS) --soak \
	  tests/runs/test_resume.py tests/runs/test_sweep_kills.py

lock: .venv/ready
	$(BIN)/python -m pip install -q uv
	$(BIN)/uv pip compile --universal --python-version 3.11 --fork-strategy fewest --extra dev \
	  --generate-hashes --no-annotate --no-header pyproject.toml \
	  --output-file requirements.lock

clean:
	rm -rf .venv .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis

.venv/ready: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "error: Python 3.11 to 3.13 is needed; give one with PYTHON=..." >&2; exit 2; }
	rm -rf .venv
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check --require-hashes --no-deps -r $<
	touch $@
