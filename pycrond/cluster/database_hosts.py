"""The hosts in a connection string, tried in turn."""

import ipaddress

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pycrond.conninfo import without_password

DEFAULTS = {
    "target_session_attrs": "read-write",
    "keepalives": "1",
    "keepalives_idle": "10",  # seconds; with the next two, a dead peer is found within 25 s
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",  # milliseconds
}

Parameters = dict[str, str]


class Hosts:
    """The hosts of a connection string; the host that answered last is tried first."""

    def __init__(self, conninfo: str, node: str) -> None:
        """Raises psycopg.ProgrammingError for an invalid connection string."""
        given = {name: str(value) for name, value in conninfo_to_dict(conninfo).items()}
        defaults = {} if "service" in given else DEFAULTS  # defaults would override the service's file
        common = {**defaults, "application_name": f"pycrond {node}", "client_encoding": "UTF8", **given}
        self._hosts = _split(common)
        self._next = 0
        self._tried = 0  # since the last success

    def next(self) -> Parameters:
        """Return the connection parameters of the next host to try."""
        host = self._hosts[self._next]
        self._next = (self._next + 1) % len(self._hosts)
        self._tried += 1
        return host

    @property
    def has_untried(self) -> bool:
        """True if some host was not tried since the last success, or in this round."""
        return self._tried % len(self._hosts) != 0

    @property
    def rounds(self) -> int:
        """The number of times that all hosts have failed since the last success."""
        return (self._tried - 1) // len(self._hosts)

    def succeeded(self) -> None:
        """Begin with the host returned last, from now on."""
        self._next = (self._next - 1) % len(self._hosts)
        self._tried = 0


def refusal(conninfo: str) -> str:
    """Return why a text is not a connection string, with libpq's error for the text without its password."""
    text = "the setting `cluster` is not a connection string of PostgreSQL"
    try:
        conninfo_to_dict(without_password(conninfo))
    except ProgrammingError as error:
        text += f": {' '.join(str(error).split())}"
    return text


def name_of(host: Parameters) -> str:
    """Return the host's name, if it must be looked up; else an empty text."""
    name = host.get("host", "")
    if not name or name.startswith(("/", "@")) or "hostaddr" in host:
        return ""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name
    return ""


def conninfo_of(host: Parameters, addresses: list[str], first: int = 0) -> str:
    """Return a connection string that tries all addresses, beginning with the address number `first`."""
    if not addresses:
        return make_conninfo("", **host)
    turned = [*addresses[first % len(addresses) :], *addresses[: first % len(addresses)]]
    repeated = {name: ",".join([host[name]] * len(turned)) for name in ("host", "port") if name in host}
    return make_conninfo("", **(host | repeated | {"hostaddr": ",".join(turned)}))


def _split(parameters: Parameters) -> list[Parameters]:
    """Return the parameters of each host. Without a host, libpq chooses one."""
    common = {name: value for name, value in parameters.items() if name not in {"host", "hostaddr", "port"}}
    lists: dict[str, list[str]] = {
        name: parameters[name].split(",") for name in ("host", "hostaddr") if name in parameters
    }
    if not lists:
        return [parameters]
    count = max(map(len, lists.values()))
    if "port" in parameters:
        ports = parameters["port"].split(",")
        lists["port"] = ports * count if len(ports) == 1 else ports
    hosts: list[Parameters] = []
    for index in range(count):
        host = {
            name: values[index] for name, values in lists.items() if index < len(values) and values[index]
        }
        hosts.append({**common, **host})
    return hosts
