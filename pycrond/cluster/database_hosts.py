"""The hosts that a connection string names, tried in turn."""

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
    """The hosts of a connection string, the one that answered last first."""

    def __init__(self, conninfo: str, node: str) -> None:
        """Raises psycopg.ProgrammingError for what is not a connection string."""
        given = {name: str(value) for name, value in conninfo_to_dict(conninfo).items()}
        defaults = {} if "service" in given else DEFAULTS  # they would replace those of its file
        common = {**defaults, "application_name": f"pycrond {node}", "client_encoding": "UTF8", **given}
        self._hosts = _split(common)
        self._next = 0
        self._tried = 0  # since the last success

    def next(self) -> Parameters:
        """Return the parameters of a connection to the host to be tried next."""
        host = self._hosts[self._next]
        self._next = (self._next + 1) % len(self._hosts)
        self._tried += 1
        return host

    @property
    def has_untried(self) -> bool:
        """Some host has not been tried since the last success, or in this round."""
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
    """Return why a text is not a connection string, in libpq's words of the text without its password."""
    text = "the setting `cluster` is not a connection string of PostgreSQL"
    try:
        conninfo_to_dict(without_password(conninfo))
    except ProgrammingError as error:
        text += f": {' '.join(str(error).split())}"
    return text


def name_of(host: Parameters) -> str:
    """Return the host's name, if it is to be looked up."""
    name = host.get("host", "")
    if not name or name.startswith(("/", "@")) or "hostaddr" in host:
        return ""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name
    return ""


def conninfo_of(host: Parameters, addresses: list[str], first: int = 0) -> str:
    """Return the connection string; it tries all addresses, beginning with another one in each round."""
    if not addresses:
        return make_conninfo("", **host)
    turned = [*addresses[first % len(addresses) :], *addresses[: first % len(addresses)]]
    repeated = {name: ",".join([host[name]] * len(turned)) for name in ("host", "port") if name in host}
    return make_conninfo("", **(host | repeated | {"hostaddr": ",".join(turned)}))


def _split(parameters: Parameters) -> list[Parameters]:
    """Return parameters for each of the hosts. libpq finds one itself if there is none."""
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
