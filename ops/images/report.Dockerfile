# syntax=docker/dockerfile:1
# The report runner: pandoc and Typst come as wheels, fonts from the checkout, Quarto as a release.
# Build from the checkout's root: ops/images/build report

ARG PYTHON_IMAGE=docker.io/library/python:3.11.14-slim-bookworm@sha256:65a93d69fa75478d554f4ad27c85c1e69fa184956261b4301ebaf6dbb0a3543d

# hadolint ignore=DL3006
FROM ${PYTHON_IMAGE} AS quarto
ARG TARGETARCH
ARG QUARTO_VERSION=1.9.38
ARG QUARTO_SHA256_AMD64=ea8c897368791ad9f200010c087ea3111b2e556b12a960487dd4e216902aa102
ARG QUARTO_SHA256_ARM64=75fbc5c1121ffe65e564e9d24711db2ad8f617f9552f5dc7d8a06307d72dde38
COPY ops/images/fetch-quarto.py /build/
RUN python /build/fetch-quarto.py "${QUARTO_VERSION}" "${TARGETARCH}" \
        "amd64=${QUARTO_SHA256_AMD64}" "arm64=${QUARTO_SHA256_ARM64}" /opt/quarto

# hadolint ignore=DL3006
FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv --without-pip /opt/venv
COPY ops/images/report.lock /build/report.lock
RUN python -m pip --python /opt/venv/bin/python install \
        --no-deps --only-binary=:all: --require-hashes --requirement /build/report.lock
WORKDIR /app
COPY dbt_project.yml ./
COPY warehouse ./warehouse
COPY report_runner ./report_runner
# Nothing writes below /app later, so the bytecode is made once and never compared again.
RUN /opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /app

# hadolint ignore=DL3006
FROM ${PYTHON_IMAGE} AS report
ARG REVISION=unknown
ARG VERSION=0.0.0
LABEL org.opencontainers.image.title="seedtest-analytics report" \
      org.opencontainers.image.description="Weekly, cohort and calibration reports of seedtest-analytics" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.version="${VERSION}"
# An init for process 1, which forwards signals and reaps; nothing that installs or compiles stays.
RUN --mount=type=bind,source=ops/images/debian-snapshot,target=/build/debian-snapshot \
    /build/debian-snapshot tini \
    && rm -rf /usr/local/lib/python3.11/ensurepip /usr/local/lib/python3.11/site-packages/* \
        /usr/local/bin/pip* \
    && mkdir --mode=0777 /scratch
COPY --from=quarto /opt/quarto /opt/quarto
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
ENV PATH=/opt/venv/bin:/opt/quarto/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    SEEDTEST_REVISION=${REVISION} \
    HOME=/scratch \
    TMPDIR=/scratch
WORKDIR /app
USER 65532:65532
VOLUME ["/scratch"]
ENTRYPOINT ["tini", "--", "python", "-m"]
CMD ["report_runner", "missing"]
