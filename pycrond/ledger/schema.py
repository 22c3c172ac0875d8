"""The ledger's tables, as a list of migrations that begins with an empty file."""

MIGRATIONS = (
    """
    CREATE TABLE daemons (
        id         INTEGER PRIMARY KEY,
        pid        INTEGER NOT NULL,
        version    TEXT NOT NULL,
        boot       TEXT NOT NULL,     -- boot_id and the start time of pid 1: a container's restart is a boot
        started_at REAL NOT NULL,     -- every time is Unix seconds, UTC
        ready_at   REAL,
        loaded_at  REAL,              -- when the crontabs were last read
        stopped_at REAL,              -- null after a crash
        why        TEXT NOT NULL      -- how the daemon before ended, 'signal 9'; '' if started by hand
    ) STRICT;

    CREATE TABLE boots (boot TEXT PRIMARY KEY) STRICT;  -- boots whose @reboot jobs were claimed

    CREATE TABLE jobs (
        key       TEXT PRIMARY KEY,
        name      TEXT,
        user      TEXT NOT NULL,
        file      TEXT NOT NULL,
        line      INTEGER NOT NULL,
        schedule  TEXT NOT NULL,      -- as written
        canonical TEXT,               -- as plain numbers; null for @reboot
        zone      TEXT NOT NULL,
        command   TEXT NOT NULL,      -- bytes that are not UTF-8 as \\xNN
        options   TEXT NOT NULL,      -- JSON, only values that differ from the defaults
        loaded    INTEGER NOT NULL    -- its place among the loaded jobs from 1; 0: gone, its history stays
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE job_versions (       -- every version of each job, append only
        id        INTEGER PRIMARY KEY,
        key       TEXT NOT NULL,
        file      TEXT NOT NULL,
        line      INTEGER NOT NULL,
        canonical TEXT,
        zone      TEXT NOT NULL,
        command   TEXT NOT NULL,
        options   TEXT NOT NULL,
        since     REAL NOT NULL,      -- due in the minutes after this time
        until     REAL                -- up to this time; null for the current version
    ) STRICT;
    CREATE INDEX job_versions_open ON job_versions (key) WHERE until IS NULL;

    CREATE TABLE problems (           -- in crontabs, at the last load
        file     TEXT NOT NULL,
        line     INTEGER NOT NULL,
        column   INTEGER NOT NULL,
        severity TEXT NOT NULL,
        code     TEXT NOT NULL,
        message  TEXT NOT NULL
    ) STRICT;

    CREATE TABLE clock_events (
        id     INTEGER PRIMARY KEY,
        at     REAL NOT NULL,         -- by the clock after the step; the last minute of the old zone
        kind   TEXT NOT NULL,         -- 'step', 'suspend', 'zone': the daemon's time zone is another
        moved  REAL NOT NULL          -- seconds; negative if turned back
    ) STRICT;

    CREATE TABLE runs (
        id          INTEGER PRIMARY KEY AUTOINCREMENT,
        key         TEXT NOT NULL,
        fire        REAL NOT NULL,
        wall        INTEGER,          -- the fire's wall-clock minute; null for @reboot and runs by hand
        fold        INTEGER NOT NULL,
        era         INTEGER NOT NULL,
        trigger     TEXT NOT NULL,
        attempt     INTEGER NOT NULL,
        state       TEXT NOT NULL,
        reason      TEXT NOT NULL DEFAULT '',
        pid         INTEGER,
        pid_start   INTEGER,          -- /proc/PID/stat field 22; identifies the process together with the pid
        started_at  REAL,
        ended_at    REAL,
        duration_s  REAL,             -- by the monotonic clock
        exit_status INTEGER,
        signal      INTEGER,
        cpu_s       REAL,
        max_rss_kb  INTEGER,
        lateness_ms REAL,
        bytes       INTEGER NOT NULL DEFAULT 0,  -- of output in the spool
        delivered   INTEGER NOT NULL DEFAULT 0,  -- bytes of output that syslog has received
        told        INTEGER NOT NULL DEFAULT 0,  -- syslog has 0 nothing, 1 CMD, 2 CMDEND and EXIT, 3 all
        until       REAL,             -- a folded row's last fire
        folded      INTEGER,          -- number of runs a folded row stands for
        UNIQUE (key, wall, fold, attempt, era)
    ) STRICT;
    CREATE INDEX runs_of_job ON runs (key, id);
    CREATE INDEX runs_open ON runs (id) WHERE state IN ('claimed', 'waiting', 'running');
    CREATE INDEX runs_untold ON runs (id) WHERE told < 3;
    """,
    """
    ALTER TABLE runs ADD COLUMN start_at REAL;  -- when a waiting run is to start
    """,
    """
    CREATE TABLE pauses (
        id       INTEGER PRIMARY KEY,
        key      TEXT NOT NULL,
        since    REAL NOT NULL,
        until    REAL,               -- null: until it is resumed by hand
        reason   TEXT NOT NULL,
        ended_at REAL                -- when it was resumed, or replaced by another pause
    ) STRICT;
    CREATE INDEX pauses_open ON pauses (key) WHERE ended_at IS NULL;
    """,
    """
    CREATE TABLE alarms (            -- messages to deliver: mail, commands, pings
        id       INTEGER PRIMARY KEY,
        run      INTEGER,            -- null for an alarm about a missing run
        key      TEXT NOT NULL,
        kind     TEXT NOT NULL,      -- mail, hook, ping
        event    TEXT NOT NULL,      -- output, start, success, failure, recovery, missed, overdue
        document TEXT NOT NULL,      -- JSON, everything needed to deliver it
        made_at  REAL NOT NULL,
        next_at  REAL,               -- the next attempt; null: delivered or given up
        tries    INTEGER NOT NULL DEFAULT 0,
        result   TEXT NOT NULL DEFAULT ''
    ) STRICT;
    CREATE INDEX alarms_open ON alarms (id) WHERE next_at IS NOT NULL;

    CREATE TABLE health (            -- jobs whose alarms depend on earlier runs
        key           TEXT PRIMARY KEY,
        since         REAL NOT NULL, -- when the job was first loaded
        failing_since REAL,          -- null while it succeeds
        alarmed_at    REAL,
        succeeded_at  REAL,
        overdue_at    REAL,          -- when the alarm for no success in time was raised
        expect        REAL           -- seconds
    ) STRICT, WITHOUT ROWID;
    """,
    """
    CREATE TABLE files (             -- the crontabs with loaded jobs
        file  TEXT PRIMARY KEY,
        place INTEGER NOT NULL,      -- position in the order of reading, from 1
        stamp TEXT NOT NULL          -- equal stamps mean equal jobs
    ) STRICT, WITHOUT ROWID;
    INSERT INTO files SELECT file, min(loaded), '' FROM jobs WHERE loaded > 0 GROUP BY file;
    UPDATE jobs SET loaded = 1 WHERE loaded > 1;  -- now 1: loaded, 0: gone, -1: its file is being replaced
    CREATE INDEX jobs_in_force ON jobs (file, loaded) WHERE loaded <> 0;
    """,
    """
    ALTER TABLE runs ADD COLUMN reason_code TEXT NOT NULL DEFAULT '';  -- a jobs.run.Reason
    UPDATE runs SET reason_code = CASE
        WHEN reason LIKE 'overlap: replaced by %' THEN 'replaced'
        WHEN reason LIKE 'kill: %, SIG%' THEN 'signal'
        WHEN reason LIKE 'stop --%' THEN 'stop'
        WHEN reason LIKE 'its exit status %' THEN 'status-unknown'
        WHEN reason LIKE 'the daemon died %' THEN 'start-unknown'
        WHEN reason LIKE 'claimed, and %' THEN 'daemon-down'
        ELSE substr(reason, 1, instr(reason || ':', ':') - 1)
    END WHERE reason <> '';
    """,
    """
    CREATE INDEX jobs_gone ON jobs (key) WHERE loaded = 0;
    CREATE INDEX job_versions_of_job ON job_versions (key, id);
    CREATE INDEX pauses_of_job ON pauses (key);
    """,
    """
    CREATE TABLE last_runs (         -- what has become of each job
        key           TEXT PRIMARY KEY,
        run           INTEGER,       -- the run that ended last; null: none has ended
        failing_since REAL,          -- the start of the first failure since the last success, if there is one
        failures      INTEGER NOT NULL, -- fires in a row that failed; their retries do not count
        passed        INTEGER,       -- the latest row of fires skipped or missed since that run began
        skipped       INTEGER NOT NULL, -- their numbers
        missed        INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    INSERT INTO last_runs
    SELECT key, nullif(past.run, 0),
    min(coalesce(started_at, fire)) FILTER (WHERE id > good
        AND state IN ('failed', 'timed-out', 'lost', 'unknown')),
    coalesce(sum(coalesce(folded, 1)) FILTER (WHERE id > good AND attempt = 1
        AND state IN ('failed', 'timed-out', 'lost', 'unknown')), 0),
    max(iif(id > past.run AND state IN ('skipped', 'missed'), id, NULL)),
    coalesce(sum(coalesce(folded, 1)) FILTER (WHERE id > past.run AND state = 'skipped'), 0),
    coalesce(sum(coalesce(folded, 1)) FILTER (WHERE id > past.run AND state = 'missed'), 0)
    FROM runs JOIN (
        SELECT key, coalesce(max(id) FILTER (WHERE state NOT IN (
            'claimed', 'waiting', 'running', 'skipped', 'missed'
        ) AND (state <> 'killed' OR coalesce(started_at, folded) NOT NULL)), 0) AS run,
        coalesce(max(id) FILTER (WHERE state = 'succeeded'), 0) AS good FROM runs GROUP BY key
    ) AS past USING (key) GROUP BY key;
    """,
    """
    ALTER TABLE runs ADD COLUMN printed INTEGER NOT NULL DEFAULT 0;  -- as delivered, on standard output
    ALTER TABLE runs ADD COLUMN shown INTEGER NOT NULL DEFAULT 0;    -- as told, but told is 3 for both
    UPDATE runs SET printed = delivered, shown = told WHERE told < 3;
    """,
    """
    CREATE TABLE copies (            -- runs whose output is being appended to a file, too
        run     INTEGER PRIMARY KEY,
        path    BLOB NOT NULL,
        umask   TEXT NOT NULL,       -- octal; empty: the daemon's
        written INTEGER NOT NULL     -- bytes of output
    ) STRICT;
    """,
    """
    CREATE TABLE run_totals (        -- all runs that a job has ever had, also those that were folded
        id           INTEGER PRIMARY KEY,
        key          TEXT NOT NULL,  -- 'USER/': of jobs without a name that are forgotten
        state        TEXT NOT NULL,
        runs         INTEGER NOT NULL,
        ended_at     REAL NOT NULL,  -- the latest end
        duration_s   REAL NOT NULL,  -- the sum
        measured     INTEGER NOT NULL, -- runs that have a duration
        within_1     INTEGER NOT NULL, -- runs with a duration of at most so many seconds
        within_10    INTEGER NOT NULL,
        within_60    INTEGER NOT NULL,
        within_600   INTEGER NOT NULL,
        within_3600  INTEGER NOT NULL,
        within_21600 INTEGER NOT NULL,
        UNIQUE (key, state)
    ) STRICT;
    INSERT INTO run_totals (key, state, runs, ended_at, duration_s, measured, within_1, within_10, within_60,
        within_600, within_3600, within_21600)
    SELECT key, state, sum(coalesce(folded, 1)), max(coalesce(ended_at, until, fire)), total(duration_s),
    count(duration_s), sum(coalesce(duration_s <= 1, 0)), sum(coalesce(duration_s <= 10, 0)),
    sum(coalesce(duration_s <= 60, 0)), sum(coalesce(duration_s <= 600, 0)),
    sum(coalesce(duration_s <= 3600, 0)), sum(coalesce(duration_s <= 21600, 0))
    FROM runs WHERE state NOT IN ('claimed', 'waiting', 'running') GROUP BY key, state ORDER BY min(id);
    """,
    """
    CREATE TABLE cluster_node (      -- this ledger in a cluster
        one      INTEGER PRIMARY KEY CHECK (one = 1),
        ledger   TEXT NOT NULL,      -- a UUID
        cluster  TEXT,               -- its name, by the database; null: never reached
        zone     TEXT,               -- of shared jobs without a zone of their own
        timeline TEXT NOT NULL DEFAULT '' -- of the database: a server with a lower one is refused
    ) STRICT;
    CREATE TABLE cluster_fires (     -- fires that the nodes of a cluster share
        key     TEXT NOT NULL,
        wall    INTEGER NOT NULL,
        fold    INTEGER NOT NULL,
        fire    REAL NOT NULL,
        run     TEXT NOT NULL,       -- a UUID: the run of this node in the database
        job     TEXT NOT NULL,       -- the job's name there
        told    TEXT NOT NULL DEFAULT '', -- the state that the database has acknowledged
        is_open INTEGER NOT NULL DEFAULT 1, -- 0: there is nothing more to tell
        PRIMARY KEY (key, wall, fold)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX cluster_fires_open ON cluster_fires (fire) WHERE is_open = 1;
    CREATE INDEX cluster_fires_old ON cluster_fires (fire) WHERE is_open = 0;
    CREATE UNIQUE INDEX cluster_fires_of_run ON cluster_fires (run);
    """,
    """
    ALTER TABLE last_runs ADD COLUMN elsewhere_at REAL;     -- the end of a later success on another node
    ALTER TABLE cluster_fires ADD COLUMN old TEXT; -- a UUID: of an own earlier run that it is taken over from
    CREATE INDEX cluster_fires_taken ON cluster_fires (old) WHERE old NOT NULL;
    """,
)
