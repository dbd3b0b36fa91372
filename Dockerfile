# One file, two images:
#   docker build -t semanir-on-ray .                          Ray nodes and jobs (the last stage)
#   docker build -t semanir-mlflow --target mlflow .          the MLflow server, with users and PostgreSQL
#   docker build --target sbom --output . .                   sbom.cdx.json: the packages of the first, in CycloneDX
#   docker buildx build --sbom=true --push -t … .             what the system has too, in SPDX, attached to the image
# Tags are exact; for a byte-exact base, give the digest that your registry shows:
#   --build-arg CUDA_IMAGE=nvidia/cuda@sha256:…
ARG CUDA_IMAGE=nvidia/cuda:13.0.2-base-ubuntu24.04
ARG PYTHON_IMAGE=python:3.12.11-slim-bookworm

FROM ${CUDA_IMAGE} AS build
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# Ubuntu keeps only the newest build of a package: an exact version here would stop building within weeks.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends g++ python3-dev python3-venv \
 && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /src
# The packages first: they change seldom, and are most of the image.
COPY pyproject.toml constraints.txt README.md LICENSE ./
RUN mkdir -p semanir pipeline \
 && echo '__version__ = "0"' > semanir/__init__.py \
 && touch pipeline/__init__.py \
 && pip install --no-cache-dir -c constraints.txt '.[train,serve]' \
 && pip uninstall -y semanir-on-ray
COPY semanir semanir
COPY pipeline pipeline
RUN pip install --no-cache-dir --no-deps .

# In an environment of its own, so that the list holds what runs and not what lists it.
FROM build AS list
COPY infra/sbom_requirements.txt ./
RUN python3 -m venv /opt/list \
 && /opt/list/bin/pip install --no-cache-dir -r sbom_requirements.txt \
 && /opt/list/bin/cyclonedx-py environment --pyproject pyproject.toml --gather-license-texts --output-reproducible \
    --output-file /sbom.cdx.json /opt/venv/bin/python

FROM scratch AS sbom
COPY --from=list /sbom.cdx.json /

FROM ${PYTHON_IMAGE} AS mlflow
WORKDIR /srv/mlflow
COPY constraints.txt ./
# The server needs neither torch nor this project.
RUN pip install --no-cache-dir -c constraints.txt "mlflow[auth]" boto3 psycopg2-binary \
 && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin mlflow
COPY infra/mlflow/start.sh /usr/local/bin/start-mlflow
USER 10001:10001
ENV MLFLOW_DISABLE_TELEMETRY=true \
    MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false \
    HOME=/tmp
EXPOSE 5000
ENTRYPOINT ["/bin/sh", "/usr/local/bin/start-mlflow"]

FROM ${CUDA_IMAGE} AS ray
# gcc and Python's headers stay: Triton builds its launchers when a kernel first runs. KubeRay's probes call wget.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends gcc libc6-dev python3-dev wget \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10000 --create-home --shell /bin/bash ray
COPY --from=build /opt/venv /opt/venv
COPY --chown=10000:10000 jobs /home/ray/semanir/jobs
ENV PATH=/opt/venv/bin:$PATH \
    RAY_USAGE_STATS_ENABLED=0 \
    MLFLOW_DISABLE_TELEMETRY=true \
    PYTHONUNBUFFERED=1
USER 10000:10000
WORKDIR /home/ray/semanir
CMD ["bash"]
