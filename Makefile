# make demo   installs into .venv and segments the photos in examples/
# make test   installs into .venv-dev with everything, then checks and tests

PYTHON ?= python3
BIN := .venv/bin
DEV := .venv-dev/bin
SOURCES := pyproject.toml CMakeLists.txt $(shell find src -name '*.py' -o -name '*.cpp' -o -name '*.hpp' -o -name '*.onnx' -o -name '*.safetensors' -o -name '*.css' -o -name '*.csv' -o -name '*.html' -o -path '*/samples/*')

.PHONY: demo test benchmark clean

demo: .venv/installed
	$(BIN)/pixelwise predict examples/photos -o out/demo --overwrite
	@echo "look at the pictures in out/demo/overlays"

test: .venv-dev/installed
	$(DEV)/ruff check .
	$(DEV)/ruff format --check .
	$(DEV)/mypy
	$(DEV)/lint-imports
	$(DEV)/python -m pytest --numprocesses auto --dist loadfile

benchmark: .venv-dev/installed
	$(DEV)/python -m benchmarks.decode
	$(DEV)/python -m benchmarks.predict
	$(DEV)/python -m benchmarks.models
	$(DEV)/python -m benchmarks.check
	$(DEV)/python -m benchmarks.panoptic
	$(DEV)/python -m pip install --quiet --disable-pip-version-check ".[benchmark]"
	$(DEV)/python -m benchmarks.augment
	$(DEV)/python -m benchmarks.loading
	$(DEV)/python -m benchmarks.metrics
	$(DEV)/python -m benchmarks.polygons
	$(DEV)/python -m benchmarks.ray_scaling

.venv/installed: $(SOURCES)
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check .
	@touch $@

.venv-dev/installed: $(SOURCES)
	$(PYTHON) -m venv .venv-dev
	$(DEV)/python -m pip install --quiet --disable-pip-version-check ".[classical,cloud,dev,geo,openvino,ray,slide,train,zarr]"
	@touch $@

clean:
	rm -rf .venv .venv-dev build out
