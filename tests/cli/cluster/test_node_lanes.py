"""The lanes of jobs and nodes. Pure."""

from pycrond.cli.cluster.node_lanes import node_lanes
from pycrond.cluster.reader_rows import BarRow


def test_bars_of_nodes_and_of_fires_that_did_not_start() -> None:
    lanes = node_lanes(
        [
            BarRow("me/a", 60.0, "web1", "succeeded", 61.0, 63.0, 1),
            BarRow("me/a", 120.0, "web2", "running", 121.0, None, 1),
            BarRow("me/a", 180.0, "web2", "skipped", None, 182.0, 0),
            BarRow("me/b@web1", 60.0, "web1", "failed", 70.0, 65.0, 2),
            BarRow("me/c", 900.0, "web1", "waiting", None, None, 0),
        ],
        [],
        600.0,
    )
    assert [(span.key, span.start, span.end, span.run) for span in lanes.spans] == [
        ("me/a@web1", 61.0, 63.0, 1),
        ("me/a@web2", 121.0, None, 1),
        ("me/a", 180.0, 180.0, None),
        ("me/b@web1", 70.0, 70.0, 2),  # a clock was set back
        ("me/c", 600.0, 900.0, None),
    ]
    assert lanes.nodes == {"me/a@web1": "web1", "me/a@web2": "web2", "me/b@web1": "web1"}
    names = {key: row.name for key, row in lanes.gone.items()}
    assert names == {
        key: key.removeprefix("me/") for key in ("me/a@web1", "me/a@web2", "me/a", "me/b@web1", "me/c")
    }
