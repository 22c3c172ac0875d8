# pycrond as a container's only service; docs/containers.md says how to run it. Build: make image, or
#   docker build -t pycrond .
# Run the crontabs of a directory, here with a read-only root file system:
#   docker run --read-only --tmpfs /tmp -v ./crontabs:/crontabs:ro -v pycrond:/var/lib/pycrond pycrond
# BASE is any image with Python 3.11 or newer, its venv module and useradd. PIP_NO_INDEX=1 and PIP_FIND_LINKS=/wheels
# build from a directory of wheels that is mounted there. EXTRAS= leaves out what the setting `cluster` needs.
ARG BASE=python:3.14-slim
FROM ${BASE} AS build
ARG PIP_NO_INDEX PIP_FIND_LINKS EXTRAS=[cluster]
WORKDIR /src
COPY . .
RUN python3 -m venv /opt/pycrond && /opt/pycrond/bin/pip install --no-cache-dir --no-compile ".${EXTRAS}" \
    && rm -r /opt/pycrond/lib/python3*/site-packages/pip* && /opt/pycrond/bin/python -m compileall -q /opt/pycrond

FROM ${BASE}
COPY --from=build /opt/pycrond /opt/pycrond
# The directory belongs to group 0, in which an arbitrary uid is, as under OpenShift.
RUN useradd --uid 10001 --gid 0 --no-create-home --home-dir / pycrond \
    && install -d -o pycrond -g 0 -m 0775 /var/lib/pycrond
# PYCROND_TRUST_CRONTABS: a mount has whatever owner and mode, and the only user in here has no rights to lose.
# PYCROND_INHERIT_ENV: jobs get the variables of -e or an env_file; assignments in their crontab override them.
# PYCROND_STOP_JOBS: also where process 1 is another one, as with docker run --init.
ENV PATH=/opt/pycrond/bin:$PATH \
    PYCROND_CRONTABS=/crontabs \
    PYCROND_TRUST_CRONTABS=yes \
    PYCROND_REQUIRE_CRONTABS=yes \
    PYCROND_INHERIT_ENV=yes \
    PYCROND_STATE_DIR=/var/lib/pycrond \
    PYCROND_RUNTIME_DIR=/var/lib/pycrond/run \
    PYCROND_PIDFILE=/var/lib/pycrond/pycrond.pid \
    PYCROND_STOP_JOBS=term \
    PYCROND_SYSLOG=none \
    PYCROND_WATCH=yes \
    PYCROND_SPOOL_LIMIT=256 \
    TZ=UTC
USER 10001:0
WORKDIR /
VOLUME /var/lib/pycrond
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=60s --timeout=10s --start-period=10s CMD ["pycrond", "status", "--check"]
# In the form without brackets, a shell would be process 1, and it would not pass on signals.
ENTRYPOINT ["pycrond", "start", "--foreground"]
