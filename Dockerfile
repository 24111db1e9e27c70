# Build: a wheel of Drover and its locked dependencies, checked by hash.
FROM python:3.12-slim AS build
WORKDIR /src
RUN python -m venv /opt/drover
COPY requirements.lock pyproject.toml README.md LICENSE ./
RUN /opt/drover/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY bot/ bot/
COPY rancher_ext/ rancher_ext/
COPY config/ config/
RUN /opt/drover/bin/pip install --no-cache-dir --no-deps --no-build-isolation . \
 && /opt/drover/bin/pip uninstall --yes pytest hypothesis mypy ruff uv import-linter

# Run: no compiler, no root, one writable folder.
FROM python:3.12-slim
RUN useradd --uid 10001 --create-home --home-dir /var/lib/drover drover
COPY --from=build /opt/drover /opt/drover
ENV PATH=/opt/drover/bin:$PATH DROVER_HOME=/var/lib/drover DROVER_LISTEN=0.0.0.0:8080 DROVER_LOG_FORMAT=json PYTHONUNBUFFERED=1
USER 10001
WORKDIR /var/lib/drover
VOLUME /var/lib/drover
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=5s CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/healthz', timeout=4)"]
ENTRYPOINT ["drover"]
CMD ["serve"]
