# One image for `atelier serve`, `worker` and `migrate`: see compose.yaml and docs/operations.md.
# It runs as a user without a name or home, on a read-only root. Only /tmp has to be writable.
ARG BASE=debian:trixie-slim

FROM ${BASE} AS python
# tini is PID 1: it passes SIGTERM on, also to `migrate`, which has no handler, and reaps orphans.
# No versions: Debian deletes the old ones at each security update.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 tini \
    && rm -rf /var/lib/apt/lists/* /var/log/* /var/cache/*

FROM python AS build
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends python3-venv
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python3 -m venv /build/tools && python3 -m venv --without-pip /opt/atelier
WORKDIR /build/source
# Every package by its hash, and those that come as source are built with tools that have one too.
# These layers change only with the lock files.
COPY requirements-build.lock requirements.lock requirements-openvino.lock models.lock ./
RUN /build/tools/bin/pip install --require-hashes --only-binary :all: -r requirements-build.lock \
    && /build/tools/bin/pip wheel --require-hashes --no-build-isolation --wheel-dir /build/wheels \
        -r requirements.lock -r requirements-openvino.lock
RUN /build/tools/bin/pip install --require-hashes --only-binary :all: --no-deps \
        --ignore-requires-python --target /build/models -r models.lock \
    && install -D -m 0444 /build/models/rembg/u2netp.onnx /opt/atelier/models/u2netp.onnx \
    && echo "309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8  /opt/atelier/models/u2netp.onnx" \
        > /build/models.sha256 \
    && sha256sum --check --strict /build/models.sha256
COPY . .
RUN /build/tools/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /build/wheels . \
    && /build/tools/bin/pip --python /opt/atelier/bin/python install --no-deps --no-index \
        /build/wheels/*.whl \
    && /opt/atelier/bin/python -m compileall -q /opt/atelier/lib

FROM python
COPY --from=build /opt/atelier /opt/atelier
ENV PATH=/opt/atelier/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    SEGMENT_MODEL_PATH=/opt/atelier/models/u2netp.onnx
USER 10001:10001
WORKDIR /tmp
EXPOSE 8000
STOPSIGNAL SIGTERM
# For `serve`; compose.yaml has another for the worker. Readiness asks the database, this does not.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python3", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health/live', timeout=2)"]
ENTRYPOINT ["tini", "--", "atelier"]
CMD ["serve", "--host", "0.0.0.0"]
