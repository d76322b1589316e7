# Everything here sets up what it needs on a machine that has Rust.

CARGO = cargo
target = $${CARGO_TARGET_DIR:-target}

.PHONY: help
help:
	@echo "make demo    a conference of five on this machine, which checks itself"
	@echo "make test    formatting, lints and all tests"
	@echo "make test-browser  browsers in a conference, with a headless Chromium"
	@echo "make test-audio    real devices, on a sound server that the tests may take away (PulseAudio)"
	@echo "make build   the program, as target/release/alm"
	@echo "make lint    formatting and lints alone"
	@echo "make features    lints of the program with each of its features alone, and with none"

.PHONY: demo
demo: build
	@"$(target)/release/alm" demo

.PHONY: test
test: lint
	$(CARGO) test --workspace --locked

.PHONY: test-browser
test-browser:
	@.ci/setup.sh browser
	$(CARGO) test --locked --test browser -- --ignored --test-threads 1

.PHONY: test-audio
test-audio:
	@.ci/setup.sh sound
	.ci/sound.sh $(CARGO) test --locked -p alm-media --features audio --test sound_card -- --ignored --test-threads 1 what_is

.PHONY: build
build:
	@.ci/setup.sh
	$(CARGO) build --release --locked

.PHONY: features
features:
	@.ci/setup.sh lint
	@for one in "" audio browser; do \
		$(CARGO) clippy --locked --no-default-features --features "$$one" -- -D warnings || exit 1; \
	done

.PHONY: lint
lint:
	@.ci/setup.sh lint
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
