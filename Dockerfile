# pycrond as a container's only service. Build: docker build -t pycrond .
# Run, with the crontabs of a folder, all else read-only, and what is to last in a volume:
#   docker run --read-only --tmpfs /run --tmpfs /tmp -v ./crontabs:/etc/pycrond/crontabs:ro \
#       -v pycrond:/var/lib/pycrond pycrond
# It is PID 1: it passes TERM, INT and HUP on to the daemon (docker stop; docker kill -s HUP: read the crontabs
# again), reaps every stray process, and gives running jobs 10 s at a stop: docker run --stop-timeout 15.
# Every message goes to standard error, which is the container's log; there need be no syslog;
# what waits for one is limited below.
# Crontabs must belong to root or to the user that pycrond runs as, and be writable by nobody else.
FROM python:3.14-slim AS build
WORKDIR /src
COPY . .
RUN pip install --no-cache-dir build && python -m build --wheel --outdir /dist

FROM python:3.14-slim
COPY --from=build /dist /dist
RUN pip install --no-cache-dir /dist/*.whl && rm -r /dist
# Jobs see what is given with -e or an env_file, below what their crontab sets.
ENV PYCROND_INHERIT_ENV=yes \
    PYCROND_CRONTABS=/etc/pycrond/crontabs \
    PYCROND_WATCH=yes \
    PYCROND_SPOOL_LIMIT=256 \
    TZ=UTC
VOLUME /var/lib/pycrond
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=60s --timeout=10s CMD ["pycrond", "status"]
# The form with brackets: a shell in between would be PID 1, and pass no signal on.
ENTRYPOINT ["pycrond", "start", "--foreground"]
