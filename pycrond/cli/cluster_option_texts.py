"""The descriptions of a job's options that concern a cluster: more of `option_texts`."""

from pycrond.cli.option_text import OptionText

CLUSTER_TEXTS = {
    "on": OptionText(
        "every | one | LABEL | one:LABEL",
        """The nodes of a cluster on which the job runs. `every`: each of them, as without a cluster. `one`:
        at each fire time one of them, chosen anew among those that are alive. `on=LABEL`: each node that has
        this label by its setting `node-labels`. `one:LABEL`: one of those. A label consists of small letters,
        digits and `. _ -`, at most 64.

        Of all nodes, the one that has written its claim into the database runs the job, and it alone, also
        if it dies; see `node-loss`. While the database cannot be reached, the job does not start; see
        `on-partition`. The nodes know a job that one of them runs by its name: `one` needs the option
        `name`, with a name that no other entry has. It is not possible with `@reboot` or `overlap=replace`.
        `H`, `~`, `jitter` and `RANDOM_DELAY` are drawn from the names of the cluster and of the job, so that
        all nodes agree, and without `CRON_TZ` the schedule is in the time zone of the cluster.

        The alarms of such a job come from the nodes on which it runs: mail, `ping`, `on-success` and
        `on-failure` are about the runs of one node, so a job that fails on two nodes in turn alarms once on
        each. `on-recovery` runs on each node on which the job was failing, within about a minute of a success
        on any node. With `expect`, a success on any node counts, and one living node raises the alarm, up to
        two minutes later than without a cluster; nodes whose shared jobs differ each raise it. While the
        database does not answer, that alarm waits for 10 minutes, and is then raised by what the first node
        knows.

        `pycrond run` starts such a job on the machine where it is typed, and the cluster does not count that
        run. `pycrond pause` and `pycrond resume` hold for one node; the others go on. `pycrond kill` of a
        fire that waits for the cluster's answer withdraws it for all nodes, unless another one has it.

        An entry with a combination that is not possible, or with a value of `on`, `node-loss`, `on-partition`
        or `lock=cluster:` that is none, is an error, and is not run. On a machine without
        the setting `cluster`, this is a warning, and the job runs there as with `every`.""",
        "every",
    ),
    "node-loss": OptionText(
        "skip | rerun",
        """With `on=one`: the action when the node that runs the job dies. `skip` leaves the run `lost`, so
        that no fire time runs twice. `rerun` has another node run it again after 30 seconds of silence,
        after 60 if the run holds a lock: `lock=cluster:`, or that of `overlap=skip` or `queue`. A node that
        is back before, and does not know how the run ended, runs it again itself, once. The first node may
        only have been cut off and have run it as well, so the command must bear to run twice.""",
        "skip",
    ),
    "on-partition": OptionText(
        "skip | run",
        """With `on=one`: the action when the database has not answered 10 seconds after the fire time. `skip`
        leaves out the fire time. `run` starts the job on the node that would have been asked first
        among those that were last seen alive. Nodes that are cut off from each other may disagree about that,
        so the command must bear to run twice.""",
        "skip",
    ),
}
