"""The hosts that a connection string names, tried in turn."""

from psycopg.conninfo import conninfo_to_dict, make_conninfo

DEFAULTS: dict[str, str] = {
    "target_session_attrs": "read-write",
    "keepalives": "1",
    "keepalives_idle": "10",  # seconds; with the next two, a dead peer is found within 25 s
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",  # milliseconds
    "client_encoding": "UTF8",
}


class Hosts:
    """The hosts of a connection string, the one that answered last first."""

    def __init__(self, conninfo: str, node: str) -> None:
        """Raises psycopg.ProgrammingError for what is not a connection string."""
        parameters = {name: str(value) for name, value in conninfo_to_dict(conninfo).items()}
        self._common = {**DEFAULTS, "application_name": f"pycrond {node}", **parameters}
        self._hosts = _split(self._common)
        self._next = 0
        self._tried = 0  # since the last success

    def next(self) -> str:
        """Return the connection string of the host to be tried next."""
        host = self._hosts[self._next]
        self._next = (self._next + 1) % len(self._hosts)
        self._tried += 1
        return make_conninfo("", **self._common, **host)

    @property
    def has_untried(self) -> bool:
        """Some host has not been tried since the last success, or in this round."""
        return self._tried % len(self._hosts) != 0

    def succeeded(self) -> None:
        """Begin with the host returned last, from now on."""
        self._next = (self._next - 1) % len(self._hosts)
        self._tried = 0


def _split(parameters: dict[str, str]) -> list[dict[str, str]]:
    """Remove the hosts from parameters; return them one by one. libpq finds one itself if there is none."""
    lists: dict[str, list[str]] = {
        name: parameters.pop(name).split(",") for name in ("host", "hostaddr") if name in parameters
    }
    if not lists:
        return [{}]
    count = max(map(len, lists.values()))
    if "port" in parameters:
        ports = parameters.pop("port").split(",")
        lists["port"] = ports * count if len(ports) == 1 else ports
    return [
        {name: values[index] for name, values in lists.items() if index < len(values) and values[index]}
        for index in range(count)
    ]
