# syntax=docker/dockerfile:1
# dbt and the warehouse commands: builds, migrations, waiting, status.
# Build from the checkout's root: ops/images/build dbt

ARG PYTHON_IMAGE=docker.io/library/python:3.11.14-slim-bookworm@sha256:65a93d69fa75478d554f4ad27c85c1e69fa184956261b4301ebaf6dbb0a3543d

# hadolint ignore=DL3006
FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv --without-pip /opt/venv
COPY ops/images/dbt.lock /build/dbt.lock
RUN python -m pip --python /opt/venv/bin/python install \
        --no-deps --only-binary=:all: --require-hashes --requirement /build/dbt.lock
WORKDIR /app
COPY dbt_project.yml profiles.yml ./
COPY dbt ./dbt
COPY warehouse ./warehouse
# Nothing writes below /app later, so the bytecode is made once and never compared again.
RUN /opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /app/warehouse

# hadolint ignore=DL3006
FROM ${PYTHON_IMAGE} AS dbt
ARG REVISION=unknown
ARG VERSION=0.0.0
LABEL org.opencontainers.image.title="seedtest-analytics dbt" \
      org.opencontainers.image.description="dbt builds, migrations and run ledger of seedtest-analytics" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.version="${VERSION}"
# An init for process 1, which forwards signals and reaps; nothing that installs or compiles stays.
RUN --mount=type=bind,source=ops/images/debian-snapshot,target=/build/debian-snapshot \
    /build/debian-snapshot tini \
    && rm -rf /usr/local/lib/python3.11/ensurepip /usr/local/lib/python3.11/site-packages/* \
        /usr/local/bin/pip* \
    && mkdir --mode=0777 /scratch
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    SEEDTEST_REVISION=${REVISION} \
    HOME=/scratch \
    TMPDIR=/scratch \
    DBT_TARGET_PATH=/scratch/target \
    DBT_LOG_PATH=/scratch/logs
WORKDIR /app
USER 65532:65532
VOLUME ["/scratch"]
ENTRYPOINT ["tini", "--", "python", "-m"]
CMD ["warehouse", "status"]
