# The jobs, the dashboard, the gateway and their supervisor; databases and model servers run beside it.
FROM python:3.12.12-slim-bookworm AS build

RUN python -m venv /opt/kos
ENV PATH=/opt/kos/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src

# Dependencies change seldom: they are a layer of their own.
COPY setup.cfg pyproject.toml constraints.txt ./
RUN mkdir jobs && touch README.md LICENSE jobs/__init__.py supervisord.conf \
    && pip install --constraint constraints.txt '.[dashboard]'

COPY . .
RUN rm -rf build && pip install --no-deps --force-reinstall --constraint constraints.txt '.[dashboard]'


FROM python:3.12.12-slim-bookworm

RUN useradd --create-home --uid 1000 kos && mkdir /data && chown kos:kos /data
COPY --from=build /opt/kos /opt/kos

# The number of kos, which a host that demands a user other than root can check.
USER 1000:1000
WORKDIR /data
ENV PATH=/opt/kos/bin:$PATH KOS_HOME=/data KOS_DASHBOARD_HOST=0.0.0.0 PYTHONUNBUFFERED=1
VOLUME /data
EXPOSE 11480 11482
HEALTHCHECK --interval=15s --timeout=10s --start-period=60s \
    CMD ["python", "-m", "console.supervision", "healthy"]
CMD ["python", "-m", "console.supervision", "run", "--logs"]
