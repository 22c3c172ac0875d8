# pycrond as a container's only service. Build: docker build -t pycrond .
# Run with the crontabs of a directory, a read-only root file system, and the state in a volume:
#   docker run --read-only --tmpfs /run --tmpfs /tmp -v ./crontabs:/etc/pycrond/crontabs:ro \
#       -v pycrond:/var/lib/pycrond pycrond
# pycrond is PID 1. It passes TERM, INT and HUP on to the daemon (`docker stop` stops it, `docker kill -s HUP` makes it
# read the crontabs again), reaps every orphaned process, and gives running jobs 10 s at a stop; use
# `docker run --stop-timeout 15` for that.
# Every message goes to standard output, which is the container's log (PYCROND_LOG_FORMAT=json for programs).
# PYCROND_SPOOL_LIMIT limits the output on disk.
# Crontabs must belong to root or to the user that pycrond runs as, and no other user may write to them.
FROM python:3.14-slim AS build
WORKDIR /src
COPY . .
RUN pip install --no-cache-dir build && python -m build --wheel --outdir /dist

FROM python:3.14-slim
COPY --from=build /dist /dist
RUN pip install --no-cache-dir /dist/*.whl && rm -r /dist
# Jobs get the variables of -e or an env_file; assignments in their crontab override them.
ENV PYCROND_INHERIT_ENV=yes \
    PYCROND_CRONTABS=/etc/pycrond/crontabs \
    PYCROND_WATCH=yes \
    PYCROND_SYSLOG=none \
    PYCROND_SPOOL_LIMIT=256 \
    TZ=UTC
VOLUME /var/lib/pycrond
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=60s --timeout=10s CMD ["pycrond", "status"]
# In the form without brackets, a shell would be PID 1, and it would not pass on signals.
ENTRYPOINT ["pycrond", "start", "--foreground"]
