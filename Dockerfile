# Build: the wheel, with locked tools that are checked by hash.
FROM python:3.12-slim AS build
WORKDIR /src
COPY requirements.lock ./
RUN python -m pip install --no-cache-dir --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY bot/ bot/
COPY rancher_ext/ rancher_ext/
COPY config/ config/
RUN python -m pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels .

# Run: what Drover needs and nothing else; not root, one writable folder.
FROM python:3.12-slim
COPY requirements-runtime.lock /tmp/
RUN python -m pip install --no-cache-dir --require-hashes -r /tmp/requirements-runtime.lock && rm /tmp/requirements-runtime.lock
COPY --from=build /wheels /wheels
RUN python -m pip install --no-cache-dir --no-deps --no-index /wheels/*.whl && rm -r /wheels \
 && useradd --uid 10001 --create-home --home-dir /var/lib/drover drover
ENV DROVER_HOME=/var/lib/drover DROVER_LISTEN=0.0.0.0:8080 DROVER_LOG_FORMAT=json PYTHONUNBUFFERED=1
USER 10001
WORKDIR /var/lib/drover
VOLUME /var/lib/drover
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=5s \
  CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/healthz', timeout=4)"]
ENTRYPOINT ["drover"]
CMD ["serve"]
