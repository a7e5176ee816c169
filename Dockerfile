# The jobs, the dashboard and their supervisor; databases and model servers run beside it.
FROM python:3.12.12-slim-bookworm

RUN useradd --create-home --uid 1000 kos && mkdir -p /data && chown kos:kos /data
WORKDIR /app

# Dependencies change seldom: they are a layer of their own.
COPY setup.cfg pyproject.toml ./
RUN mkdir jobs models llm console && touch README.md LICENSE supervisord.conf \
    && pip install --no-cache-dir -e '.[dashboard]'

COPY . .
RUN pip install --no-cache-dir --no-deps -e '.[dashboard]' \
    && python -m compileall -q jobs models llm console

USER kos
ENV KOS_HOME=/data KOS_DASHBOARD_HOST=0.0.0.0 PYTHONUNBUFFERED=1
VOLUME /data
EXPOSE 11480
HEALTHCHECK --interval=15s --timeout=10s --start-period=60s \
    CMD ["python", "-m", "console.supervision", "running"]
CMD ["python", "-m", "console.supervision", "run"]
