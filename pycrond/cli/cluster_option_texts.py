"""The descriptions of a job's options that concern a cluster: more of `option_texts`."""

from pycrond.cli.option_text import OptionText

CLUSTER_TEXTS = {
    "on": OptionText(
        "every | one | LABEL | one:LABEL",
        """The nodes of a cluster on which the job runs. `every`: all nodes, as without a cluster. `one`: one
        node, chosen anew at each fire time among the nodes that are alive. `on=LABEL`: all nodes that have
        this label in their setting `node-labels`. `one:LABEL`: one of the nodes with this label. A label
        consists of small letters, digits and `. _ -`, at most 64.

        Only the node that has written its claim into the database runs the job, even if this node dies; see
        `node-loss`. While the database cannot be reached, the job does not start; see `on-partition`. The
        nodes identify a shared job by its name: `one` needs the option `name`, with a name that no other
        entry has. `one` is not possible with `@reboot` or `overlap=replace`. `H`, `~`, `jitter` and
        `RANDOM_DELAY` are drawn from the names of the cluster and of the job, so that all nodes agree, and
        without `CRON_TZ` the schedule is in the time zone of the cluster.

        The alarms of such a job come from the nodes on which it runs: mail, `ping`, `on-success` and
        `on-failure` are about the runs of one node, so a job that fails on two nodes in turn raises an alarm
        on each. `on-recovery` runs on each node on which the job was failing, within about a minute of a
        success on any node. With `expect`, a success on any node counts, and one living node raises the
        alarm, up to two minutes later than without a cluster; nodes with different shared jobs each raise it.
        If the database does not answer for 10 minutes, a node raises the alarm from its own records.

        `pycrond run` starts such a job on the machine where it is typed, and the cluster does not count that
        run. `pycrond pause` and `pycrond resume` apply to one node; other nodes still run the job. `pycrond
        kill` of a fire that waits for the cluster's answer withdraws the fire for all nodes, unless another
        node has claimed it.

        An entry with an impossible combination, or with an invalid value of `on`, `node-loss`, `on-partition`
        or `lock=cluster:`, is an error and does not run. On a machine without the setting `cluster`, this is
        a warning, and the job runs there as with `every`.""",
        "every",
    ),
    "node-loss": OptionText(
        "skip | rerun",
        """With `on=one`: the action when the node that runs the job dies. `skip` leaves the run `lost`, so
        that no fire time runs twice. With `rerun`, another node runs it again after 30 seconds without a
        heartbeat, or after 60 if the run holds a lock: `lock=cluster:`, or the lock of `overlap=skip` or
        `overlap=queue`. If the first node returns earlier and does not know how the run ended, it runs the
        job again itself, once. The first node may only have been cut off from the database, and may have run
        the job as well: the command must tolerate a second run.""",
        "skip",
    ),
    "on-partition": OptionText(
        "skip | run",
        """With `on=one`: the action when the database has not answered 10 seconds after the fire time. `skip`
        skips the fire time. `run` starts the job on the node that would have claimed it first, of the nodes
        that were last seen alive. Nodes that are cut off from each other may choose different nodes: the
        command must tolerate a second run.""",
        "skip",
    ),
}
