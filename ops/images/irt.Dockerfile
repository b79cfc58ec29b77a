# syntax=docker/dockerfile:1
# The IRT service, its worker and the calibration, with the engine `native` and, by R, `mirt`.
# Build from the checkout's root: ops/images/build irt

ARG PYTHON_IMAGE=docker.io/library/python:3.11.14-slim-bookworm@sha256:65a93d69fa75478d554f4ad27c85c1e69fa184956261b4301ebaf6dbb0a3543d

# hadolint ignore=DL3006
FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
COPY ops/images/debian-snapshot ops/images/install-mirt.R /build/
RUN /build/debian-snapshot \
        r-base-dev r-cran-gparotation r-cran-gridextra r-cran-lattice r-cran-matrix r-cran-mgcv \
        r-cran-pbapply r-cran-rcpp r-cran-rcpparmadillo r-cran-splines2 r-cran-vegan \
    && Rscript /build/install-mirt.R
COPY ops/images/build.lock ops/images/irt.lock /build/
# rpy2-rinterface comes as source and is compiled against this R, with locked tools.
RUN python -m venv --without-pip /opt/venv \
    && python -m pip --python /opt/venv/bin/python install \
        --no-deps --only-binary=:all: --require-hashes --requirement /build/build.lock \
    && python -m pip --python /opt/venv/bin/python install --no-deps --no-build-isolation \
        --only-binary=:all: --no-binary=rpy2-rinterface \
        --require-hashes --requirement /build/irt.lock \
    && python -m pip --python /opt/venv/bin/python uninstall --yes setuptools
WORKDIR /app
COPY dbt_project.yml ./
COPY warehouse ./warehouse
COPY irt_service ./irt_service
COPY report_runner ./report_runner
# Nothing writes below /app later, so the bytecode is made once and never compared again.
RUN /opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /app

# hadolint ignore=DL3006
FROM ${PYTHON_IMAGE} AS irt
ARG REVISION=unknown
ARG VERSION=0.0.0
LABEL org.opencontainers.image.title="seedtest-analytics irt" \
      org.opencontainers.image.description="IRT service, online worker and calibration of seedtest-analytics" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.version="${VERSION}"
# R without compilers, and an init for process 1; nothing that installs or compiles stays.
RUN --mount=type=bind,source=ops/images/debian-snapshot,target=/build/debian-snapshot \
    /build/debian-snapshot tini \
        r-base-core r-cran-gparotation r-cran-gridextra r-cran-lattice r-cran-matrix r-cran-mgcv \
        r-cran-pbapply r-cran-rcpp r-cran-splines2 r-cran-vegan \
    && rm -rf /usr/local/lib/python3.11/ensurepip /usr/local/lib/python3.11/site-packages/* \
        /usr/local/bin/pip* \
    && mkdir --mode=0777 /scratch
COPY --from=build /usr/local/lib/R/site-library /usr/local/lib/R/site-library
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    SEEDTEST_REVISION=${REVISION} \
    HOME=/scratch \
    TMPDIR=/scratch \
    NUMBA_CACHE_DIR=/scratch/numba
WORKDIR /app
USER 65532:65532
VOLUME ["/scratch"]
EXPOSE 8000
# Of the service; the worker and the calibration end when they cannot go on. Kubernetes has probes
# of its own and does not read this.
HEALTHCHECK --interval=30s --timeout=5s --start-period=120s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
ENTRYPOINT ["tini", "--", "python", "-m"]
CMD ["irt_service", "serve", "--host", "0.0.0.0", "--port", "8000"]
