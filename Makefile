# Two commands matter: `make order TEXT="..."` on a fresh clone, and `make test`.
SHELL := /bin/sh
bin := .venv/bin

# The text is taken as it was typed and handed on by standard input: no shell and no make ever reads
# it, so quotes, dollars, backslashes and newlines arrive unharmed. TEXT itself must not reach the
# environment, because make would expand it on the way.
unexport TEXT
ifeq ($(strip $(value TEXT)),)
  ORDER_TEXT := Write a one-page launch plan for a bakery that opens in six weeks, and the post that announces it.
else
  ORDER_TEXT := $(value TEXT)
endif
order: export ORDER_TEXT := $(value ORDER_TEXT)

# Compiled files make each start several times faster; they lie in __pycache__, which git ignores.
unexport PYTHONDONTWRITEBYTECODE

# $(call step,NAME,COMMAND): run one check and say how long it took, pass or fail.
define step
@printf '== %s\n' '$(1)'; start=$$(date +%s); $(2); code=$$?; \
	printf '== %s: %s in %s s\n' '$(1)' "$$([ $$code = 0 ] && echo ok || echo FAILED)" \
	"$$(($$(date +%s) - start))"; exit $$code
endef

# Base images are kept for a week where there is a home to keep them in.
image_cache = $${HOME:+--image-cache "$${XDG_CACHE_HOME:-$$HOME/.cache}/swarm"}
# CI servers set CI=true. They are expected to run Docker, so there nothing less will do; a person's
# machine may have less, and then the summary says which level it was.
is_ci = $(filter true,$(CI))
image_tools = { sh tools/setup.sh docker || $(if $(is_ci),exit 1,true); }
image_run = $(bin)/pytest -q -p no:cacheprovider $(image_cache) $(if $(is_ci),--docker-only)
image_core = tests/image/test_image.py tests/image/test_below_docker.py
image_check = $(image_tools) && $(image_run) $(image_core)
image_test = $(image_tools) && $(image_run) $(image_core) tests/image/test_compose_docker.py \
	tests/image/test_farm_docker.py tests/image/test_cloud_init_boot.py

.PHONY: help setup order test image image-check image-test lock chaos attack embedded bench clean

help:
	@echo 'make order TEXT="..."   give the company one order and wait for its answer'
	@echo 'make setup              make .venv from the lock files'
	@echo 'make test               run every check and the tests'
	@echo 'make image              build the image `swarm` with your Docker'
	@echo 'make image-check        build it with a daemon of its own and try what must hold'
	@echo 'make image-test         that, and the farm on a real engine (minutes)'
	@echo 'make chaos              kill it in every way and see that nothing is lost (minutes)'
	@echo 'make attack             let a model obey every injection of AgentDojo, and count what gets through'
	@echo 'make embedded           run the tests that need the embedded model'
	@echo 'make bench              measure it and write bench.json'
	@echo 'make lock [UPGRADE=1]   resolve the lock files again, nothing younger than seven days'
	@echo 'make clean              remove .venv and every cache'

setup:
	@sh tools/setup.sh dev

order:
	@sh tools/setup.sh run
	@printf '%s' "$$ORDER_TEXT" | $(bin)/swarm order - --wait --yes

# Generated examples are the same in every run here, so that a change is judged by what it changes;
# a bare `pytest` and `make chaos` draw new ones.
test:
	$(call step,setup,sh tools/setup.sh dev && sh tools/setup.sh system)
	$(call step,ruff format,$(bin)/ruff format --check)
	$(call step,ruff check,$(bin)/ruff check)
	$(call step,mypy,$(bin)/mypy --num-workers auto)
	$(call step,lint-imports,$(bin)/lint-imports)
	$(call step,lock,$(bin)/python -m tools.lock check)
	$(call step,pytest,$(bin)/pytest -n auto --dist=worksteal --hypothesis-profile=ci)

image:
	docker build --tag swarm --build-arg REVISION="$$(git rev-parse HEAD 2>/dev/null || echo unknown)" .

image-check: setup
	$(call step,image,$(image_check))

image-test: setup
	$(call step,image,$(image_test))

lock: setup
	@$(bin)/python -m tools.lock write $(if $(UPGRADE),--upgrade)
	@sh tools/setup.sh dev

chaos: setup
	@$(bin)/pytest -m chaos

attack: setup
	@$(bin)/python -m tests.attack

embedded: setup
	@$(bin)/pytest -m embedded

bench: setup
	@$(bin)/python -m tests.bench

clean:
	rm -rf .venv build dist bench.json .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find swarm tests tools -name __pycache__ -type d -prune -exec rm -rf {} +
