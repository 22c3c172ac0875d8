"""The descriptions of a job's options for `pycrond help OPTION` and pycrond.crontab(5).

`docs/manual.py` writes them into the manual. Words in backquotes are code; an empty line begins a paragraph.
"""

from pycrond.cli.cluster_option_texts import CLUSTER_TEXTS
from pycrond.cli.option_text import OptionText

TEXTS = {
    "name": OptionText(
        "NAME",
        """The name of the job: letters, digits and `. _ - : @ +`, at most 100 characters.
        A job without a name is identified by a hash of its schedule and command, so that a changed command
        makes it a new job without a history. A second entry with the same name is identified by its hash.
        An assignment cannot set this option.""",
    ),
    "timeout": OptionText(
        "DURATION",
        """End the run after this time: TERM goes to its process group, and KILL follows after `grace`, also
        for processes of the run that have left the group. The state of the run is then `timed-out`, whatever
        its exit status. A restart of the daemon does not reset the time.""",
    ),
    "grace": OptionText("DURATION", "The time between TERM and KILL when a run is ended.", "10s"),
    "overlap": OptionText(
        "allow | skip | queue | replace",
        """The action when the job is due while it is still running. `allow` starts another run beside the
        running one, as cron does. `skip` skips this fire time. `queue` lets the fire time wait until the run
        has ended; at most one fire time waits, and further ones are skipped. `replace` ends the run as
        `timeout` does, and then starts the new one.""",
        "allow",
    ),
    "lock": OptionText(
        "NAME",
        """Only one of the jobs with this lock runs at a time. The others wait, with at most one fire time of
        each job; with `overlap=skip` their fire times are left out instead. The lock is shared by all jobs
        of the same user, in whatever file they are. `global:NAME` is a lock that the jobs of all users share;
        only root's crontabs can use it.

        With `cluster:` before the name, as in `cluster:NAME` or `cluster:global:NAME`, the jobs of all
        nodes of the cluster share the lock. While the database cannot be reached, such a job does not start.
        After a node has died, its locks are held for 60 seconds. Such a lock is not possible with `@reboot`
        or with `on-partition=run`. Without a cluster it is a lock of this machine.""",
    ),
    "missed": OptionText(
        "skip | once | all",
        """The action for fire times that were missed because no daemon ran, the machine slept or its clock
        was set. `skip` starts nothing, `once` starts one run for the latest of them, and `all` starts a run
        for each (the newest 10,000). One such run starts each second. It carries the fire time that was
        missed, and `pycrond history` marks it `catch-up`. Without this option, pycrond treats a clock that
        was set as cron does, and skips fire times that passed while no daemon ran.""",
    ),
    "within": OptionText(
        "DURATION",
        """The longest time from the fire time to the start, for whatever reason the run waits. A fire time
        that cannot start by then is `missed`.""",
    ),
    "retries": OptionText(
        "NUMBER",
        """The number of times that a run is tried again after a failure or a `timeout`, up to 1000.
        Each attempt is a run of its own, numbered by `PYCROND_ATTEMPT`. It runs the job as the crontab
        defines it at that time.""",
        "0",
    ),
    "retry-delay": OptionText(
        "DURATION",
        """The time before the first retry. It doubles with each further retry, up to an hour, and is
        longer by up to a tenth, chosen at random.""",
        "60s",
    ),
    "jitter": OptionText(
        "DURATION",
        """Start up to this much later than the fire time. The delay is chosen for each fire time, and
        stays the same after a restart.""",
    ),
    "nice": OptionText("NUMBER", "The niceness of the run, from -20 to 19; below 0 only in root's crontabs."),
    "ionice": OptionText(
        "CLASS",
        """The I/O class of the run: `idle`, `best-effort` or `realtime`. The last two may have a level from 0
        to 7, such as `best-effort:7`. `realtime` is for root's crontabs only.""",
    ),
    "memory": OptionText(
        "SIZE",
        """The most memory that a run may use, such as `512M` or `2G`. If the daemon can make a cgroup with a
        memory controller, the limit holds for the whole run. Otherwise it holds for each process of the
        run (`RLIMIT_AS`). A limit that the daemon itself has is never raised.""",
    ),
    "cpu": OptionText(
        "NUMBER",
        """The most processor time that a run may use, in processors, such as `0.5` or `50%`. Without
        a cgroup with a cpu controller, the limit has an effect only together with `timeout`: each process may
        then use the processor for that share of the timeout (`RLIMIT_CPU`). `pycrond status` shows which
        limit is in force.""",
    ),
    "success": OptionText(
        "STATUSES", "The exit statuses that count as success, such as `0,1` or `0-3`.", "0"
    ),
    "mail": OptionText(
        "always | failure | never",
        """The condition for mailing the output to `MAILTO`. `always` sends a mail whenever there is output,
        as cron does. `failure` sends one when the last attempt has failed, with or without output. `never`
        sends none.""",
        "always",
    ),
    "on-failure": OptionText(
        "COMMAND",
        """Run this command after the first failure, and not again before the job has succeeded. A run that is
        going to be retried has not failed yet.

        The job's `SHELL` runs the command as the job's user, with the job's variables, for 60 seconds at
        most; then the processes that it has left running are ended, too. The command also gets the variables
        `PYCROND_EVENT` (`failure`, `success`, `recovery`, `missed` or `overdue`), `PYCROND_JOB`,
        `PYCROND_RUN`, `PYCROND_FIRE_TIME`, `PYCROND_NAME`, `PYCROND_STATE`, `PYCROND_REASON`,
        `PYCROND_ALARM`, `PYCROND_EXIT_STATUS`, `PYCROND_SIGNAL`, `PYCROND_DURATION_S`, `PYCROND_ATTEMPT` and
        `PYCROND_BYTES` (of the output). A value that the run does not have is empty. Its standard input is
        one line of JSON: the run as `pycrond history --json` shows it, with `file`, `line`, `command`,
        `event` and `output`: the last 10 KiB of the output, in which a byte that is not UTF-8 is written as
        `\\xff`, with its value. The event `overdue` belongs to no run: `PYCROND_RUN` is 0,
        `PYCROND_FIRE_TIME` is the time of the alarm, and the values of the run are null. The event `missed`
        has the first fire time of a gap, and `count` is the number of its fire times.

        The command's own output is not kept. If it fails, the log has a message with the first line of its
        output. All this also applies to the commands of the other options that begin with `on-`.""",
    ),
    "on-success": OptionText("COMMAND", "Run this command after each success; see `on-failure`."),
    "on-recovery": OptionText(
        "COMMAND", "Run this command after the first success that follows a failure; see `on-failure`."
    ),
    "on-missed": OptionText(
        "COMMAND",
        "Run this command when a fire time was missed, once for all fire times of a gap; see `on-failure`.",
    ),
    "alarm-repeat": OptionText(
        "DURATION",
        """Run the command of `on-failure` again after this time while the job still fails or is overdue. The
        time between failures is measured between their fire times: with `1m`, a job that fails each minute
        runs the command each minute.""",
    ),
    "expect": OptionText(
        "DURATION",
        """A success is expected at least this often. Without a success for this time, the log says OVERDUE, a
        mail is sent, `on-failure` runs with the event `overdue`, and `ping` reports a failure; each of these
        happens once. The time is counted from the end of the last success. A minute and the time of `jitter`
        are added, so `1d` is right for a job that runs each day, unless some of its runs take minutes longer
        than others. With `on=one`, a success on any node of the cluster counts; see `on`. The alarms also
        happen if the job was not due or was removed; if no daemon ran, the next daemon raises them. Give such
        a job a name: without a name, a changed line makes it another job.""",
    ),
    "ping": OptionText(
        "URL",
        """Report starts and ends to this URL with the requests that healthchecks.io defines: of `URL/start`
        before the first attempt, of `URL` after a success, and of `URL/fail` after a failure. If the URL ends
        with a UUID, or with a ping key of 22 characters and a slug, as the URLs of healthchecks.io and
        similar servers do, a failure with an exit status from 1 to 255 is reported by `URL/STATUS`. The
        report of a failure contains the end of the output; see `ping-output`. A server that refuses such a
        request (4xx or 501) is sent a GET of `URL/fail`.

        The requests are sent as the job's user, in order, and are repeated until the server accepts them, for
        five days. A redirect is a failure that is not repeated; see `ping-redirects`.""",
    ),
    "ping-output": OptionText(
        "SIZE",
        """The `ping` of a failure is a POST with this much of the end of the output, at most `1M`, as text in
        UTF-8. With `always:` before the size, the `ping` of a success with output is a POST, too. A byte that
        is not UTF-8 becomes `\\xff`, with its value. A line before the output tells how many bytes are left
        out. If the URL does not contain the exit status, another line tells how the run ended, even without
        output. With `0`, all pings are GETs.""",
        "10k",
    ),
    "ping-redirects": OptionText(
        "yes | no",
        """Follow the redirects that answer a `ping`. `yes` is for root's crontabs only: a server could lead
        the request to any address that this machine can reach.""",
        "no",
    ),
    "log": OptionText(
        "yes | no | split",
        """Log the starts and ends of the job's runs. `no`, and the flag `-q`, are for root's crontabs only.
        `split` is like `yes`, and distinguishes standard output and standard error: in the key `stream` on
        standard output and in the journal's field `PYCROND_STREAM`. The lines of a stream keep their order,
        but lines that are printed to both streams within some milliseconds may change places. An incomplete
        line, such as a prompt, is read only when it is complete, its pipe is full or the command has ended;
        if output of the other stream follows, a newline is added to it. A run with `split` needs one more
        FIFO, descriptor and small file, and its output is copied each time that it is read.""",
        "yes",
    ),
    "dir": OptionText(
        "DIRECTORY",
        """The directory in which the command starts, instead of `HOME`. The directory is entered as the job's
        user. If that fails, the command is not started, and the run has failed. A path that does not begin
        with `/` or `~/` is relative to `HOME`, here and in the following options.""",
    ),
    "env-file": OptionText(
        "FILE",
        """Read variables from this file at each start, such as passwords that do not belong into a crontab.
        The file has the format of `EnvironmentFile=` in systemd.exec(5): a line is an assignment; values may
        stand in single or double quotes and then span lines; a backslash before the end of a line continues
        it; lines that begin with `#` or a semicolon are comments; a line that assigns no valid name is
        ignored.

        As with systemd, these variables override those of the crontab. `SHELL` and `HOME` in the file change
        neither the shell nor the directory; `LOGNAME`, `USER` and names that begin with `PYCROND_` are
        ignored. The commands of `on-failure` and the like do not get the variables. Unlike systemd, the
        process of the run reads the file, as the job's user: give the file this user as owner and the mode
        0600. The values are in the environment of the run's processes and nowhere else.

        It must be a regular file of at most 1 MiB. If it cannot be read, the command is not started, and the
        run has failed; with `-` before the path, a file that does not exist is no error.""",
    ),
    "umask": OptionText(
        "MASK", "The umask of the run, an octal number such as `027`. Without this option it is 022."
    ),
    "output": OptionText(
        "FILE",
        """Append the output of the job to this file, too, unchanged. A process of the job's user does this,
        so the file is created and opened with that user's rights and the `umask` of the job. Links are
        followed, as by `>>` in a command. When the file is renamed or removed, as by logrotate, the next
        output goes to a new file of this name.

        If the file cannot be written, the log has one message about it for each run, the run goes on, and its
        output is kept and logged as usual. Output that is not in the file yet stays in the spool, 16 MiB of a
        run at most. pycrond, or its next daemon, tries to write it until a minute after the end of the run.
        Output that waits for a slow file counts as output that waits for syslog (`spool-limit-user`). If the
        disk is full, it may be deleted before the file gets it. After a crash of the daemon, a fifth of a
        second of output may be written twice.""",
    ),
    "keep-runs": OptionText(
        "NUMBER",
        """The number of runs of this job that are kept with their output; older ones are only counted. The
        setting `keep-runs` applies as well: the smaller number counts.""",
    ),
    "keep-days": OptionText(
        "DAYS",
        """The days after which a run of this job is only counted, without its output. The setting
        `keep-days` applies as well: the smaller number counts.""",
    ),
    "keep-output": OptionText(
        "SIZE",
        """The most output of this job that is kept after its delivery, such as `10M`, over all its runs; the
        oldest is deleted, also while a run goes on. A run keeps at least its last bytes, up to 1 MiB, until
        it is over. This option never deletes output that has not been delivered. The setting `keep-output`
        applies as well: the smaller size counts, and `spool-limit` limits the output of all jobs.""",
    ),
    **CLUSTER_TEXTS,
}
