# The whole start: docker run -v acme:/data -e ANTHROPIC_API_KEY=... swarm
#
# Both stages stand on one base: a virtual environment names the Python it was made with. Releases
# pin the base by digest: --build-arg BASE=python:3.12-slim-bookworm@sha256:...
ARG BASE=python:3.12-slim-bookworm

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1 UV_LINK_MODE=copy
# tini is copied from here; strip takes the debuggers' part out of what wheels bring.
RUN apt-get update -q && apt-get install -y -q --no-install-recommends binutils tini
WORKDIR /src
# Tools in an environment of their own, because nothing of them is to reach the image.
COPY requirements-build.lock ./
RUN python -m venv /tools && \
    /tools/bin/pip install -q --require-hashes --only-binary :all: -r requirements-build.lock
COPY pyproject.toml requirements.lock tools/docker/locked.py tools/docker/slim.py ./
# What is dropped counts tokens of open models and downloads them; providers count theirs themselves.
RUN python locked.py pyproject.toml --extras mcp metrics postgres --drop huggingface-hub tokenizers \
        <requirements.lock >image.lock && \
    python -m venv --without-pip /opt/swarm && \
    /tools/bin/uv pip sync -q --python /opt/swarm/bin/python --require-hashes --no-build image.lock && \
    python slim.py /opt/swarm
COPY README.md LICENSE ./
COPY roles roles
COPY tests/scenarios tests/scenarios
COPY deployments deployments
COPY swarm swarm
RUN /tools/bin/pip wheel -q --no-deps --no-build-isolation --no-index --wheel-dir /wheels . && \
    /tools/bin/uv pip install -q --python /opt/swarm/bin/python --offline --no-deps /wheels/*.whl
COPY tools/docker/healthy.py /opt/swarm/healthy.py
COPY tools/docker/warm.py ./
RUN env -u PYTHONDONTWRITEBYTECODE /opt/swarm/bin/python warm.py /compiled

FROM ${BASE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Swarm" \
      org.opencontainers.image.description="A company made of agents that one founder steers from a phone" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# Nothing of an image installs anything. The folder's owner becomes the owner of a new volume.
RUN rm -rf /usr/local/bin/pip* /usr/local/bin/idle* /usr/local/lib/python3*/site-packages/pip* \
        /usr/local/lib/python3*/ensurepip && \
    install -d -o 10001 -g 10001 -m 0700 /data
COPY --from=build /usr/bin/tini /usr/bin/tini
COPY --from=build /opt/swarm /opt/swarm
COPY --from=build /compiled /
ENV PATH=/opt/swarm/bin:/usr/local/bin:/usr/bin:/bin \
    SWARM_HOME=/data USER=founder HOME=/data \
    PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001:10001
# Where no folder for temporary files can be written, this one is taken.
WORKDIR /data
VOLUME ["/data"]
# It looks at the age of a file; the program itself is not loaded for that.
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
    CMD ["/usr/local/bin/python3", "-I", "-S", "/opt/swarm/healthy.py"]
# tini takes in what a killed sandbox leaves behind.
ENTRYPOINT ["/usr/bin/tini", "-s", "--", "swarm"]
CMD ["up"]
