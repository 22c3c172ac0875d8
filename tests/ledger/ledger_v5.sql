-- A ledger of schema version 5: runs in every state, and a text of every kind.
BEGIN TRANSACTION;
CREATE TABLE alarms (            -- what is to be taken out of the machine: mail, commands, pings
        id       INTEGER PRIMARY KEY,
        run      INTEGER,            -- null: of no run, but of the absence of one
        key      TEXT NOT NULL,
        kind     TEXT NOT NULL,      -- mail, hook, ping
        event    TEXT NOT NULL,      -- output, start, success, failure, recovery, missed, overdue
        document TEXT NOT NULL,      -- JSON, all that it takes to deliver it
        made_at  REAL NOT NULL,
        next_at  REAL,               -- when it is tried (again); null: delivered, or given up
        tries    INTEGER NOT NULL DEFAULT 0,
        result   TEXT NOT NULL DEFAULT ''
    ) STRICT;
CREATE TABLE boots (boot TEXT PRIMARY KEY) STRICT;
INSERT INTO "boots" VALUES('boot/1');
CREATE TABLE clock_events (
        id     INTEGER PRIMARY KEY,
        at     REAL NOT NULL,         -- by the clock after the step
        kind   TEXT NOT NULL,         -- 'step', 'suspend'
        moved  REAL NOT NULL          -- seconds, negative when turned back
    ) STRICT;
INSERT INTO "clock_events" VALUES(1,1749557520.0,'step',120.0);
CREATE TABLE daemons (
        id         INTEGER PRIMARY KEY,
        pid        INTEGER NOT NULL,
        version    TEXT NOT NULL,
        boot       TEXT NOT NULL,     -- boot_id and the start time of pid 1: a container's restart is a boot
        started_at REAL NOT NULL,     -- every time is Unix seconds, UTC
        ready_at   REAL,
        loaded_at  REAL,              -- when the crontabs were last read
        stopped_at REAL,              -- a planned stop; null for a crash
        why        TEXT NOT NULL      -- why it was started: '' by hand, 'signal 9' by the keeper after that
    ) STRICT;
INSERT INTO "daemons" VALUES(1,40,'0.1.0','boot/1',1749556800.0,1749556800.0,1749556800.0,NULL,'');
CREATE TABLE files (             -- the crontabs that jobs are loaded from
        file  TEXT PRIMARY KEY,
        place INTEGER NOT NULL,      -- in the order in which they are read, from 1
        stamp TEXT NOT NULL          -- a file read again with the same stamp has the same jobs
    ) STRICT, WITHOUT ROWID;
INSERT INTO "files" VALUES('/etc/crontabs/root',1,'#: name=every
* * * * * true
#: name=hourly
0 * * * * true
#: name=boot
@reboot true
');
CREATE TABLE health (            -- of jobs whose alarms depend on what was before
        key           TEXT PRIMARY KEY,
        since         REAL NOT NULL, -- when we first saw it
        failing_since REAL,          -- null while it does well
        alarmed_at    REAL,
        succeeded_at  REAL,
        overdue_at    REAL,          -- when it was said that it has not succeeded for too long
        expect        REAL           -- seconds
    ) STRICT, WITHOUT ROWID;
CREATE TABLE job_versions (       -- append only: what should have run when
        id        INTEGER PRIMARY KEY,
        key       TEXT NOT NULL,
        file      TEXT NOT NULL,
        line      INTEGER NOT NULL,
        canonical TEXT,
        zone      TEXT NOT NULL,
        command   TEXT NOT NULL,
        options   TEXT NOT NULL,
        since     REAL NOT NULL,      -- it is due in the minutes after this one,
        until     REAL                -- up to this one; null while it holds
    ) STRICT;
INSERT INTO "job_versions" VALUES(1,'root/every','/etc/crontabs/root',2,'fffffffffffffff ffffff fffffffe 1ffe 7f and wildcard 0 - -','UTC','true','{"name": "every"}',1749556800.0,NULL);
INSERT INTO "job_versions" VALUES(2,'root/hourly','/etc/crontabs/root',4,'1 ffffff fffffffe 1ffe 7f and wildcard 0 - -','UTC','true','{"name": "hourly"}',1749556800.0,NULL);
INSERT INTO "job_versions" VALUES(3,'root/boot','/etc/crontabs/root',6,NULL,'UTC','true','{"name": "boot"}',1749556800.0,NULL);
CREATE TABLE jobs (
        key       TEXT PRIMARY KEY,
        name      TEXT,
        user      TEXT NOT NULL,
        file      TEXT NOT NULL,
        line      INTEGER NOT NULL,
        schedule  TEXT NOT NULL,      -- as written
        canonical TEXT,               -- as plain numbers; null for @reboot
        zone      TEXT NOT NULL,
        command   TEXT NOT NULL,      -- bytes that are not UTF-8 as \xNN
        options   TEXT NOT NULL,      -- JSON, what differs from the defaults
        loaded    INTEGER NOT NULL    -- its place among the loaded jobs from 1; 0: gone, its history stays
    ) STRICT, WITHOUT ROWID;
INSERT INTO "jobs" VALUES('root/boot','boot','root','/etc/crontabs/root',6,'@reboot',NULL,'UTC','true','{"name": "boot"}',1);
INSERT INTO "jobs" VALUES('root/every','every','root','/etc/crontabs/root',2,'* * * * *','fffffffffffffff ffffff fffffffe 1ffe 7f and wildcard 0 - -','UTC','true','{"name": "every"}',1);
INSERT INTO "jobs" VALUES('root/hourly','hourly','root','/etc/crontabs/root',4,'0 * * * *','1 ffffff fffffffe 1ffe 7f and wildcard 0 - -','UTC','true','{"name": "hourly"}',1);
CREATE TABLE pauses (
        id       INTEGER PRIMARY KEY,
        key      TEXT NOT NULL,
        since    REAL NOT NULL,
        until    REAL,               -- null: until it is resumed
        reason   TEXT NOT NULL,
        ended_at REAL                -- when it was resumed, or paused otherwise
    ) STRICT;
CREATE TABLE problems (           -- of the last load
        file     TEXT NOT NULL,
        line     INTEGER NOT NULL,
        column   INTEGER NOT NULL,
        severity TEXT NOT NULL,
        code     TEXT NOT NULL,
        message  TEXT NOT NULL
    ) STRICT;
CREATE TABLE runs (
        id          INTEGER PRIMARY KEY AUTOINCREMENT,
        key         TEXT NOT NULL,
        fire        REAL NOT NULL,
        wall        INTEGER,          -- the wall-clock minute the fire is named after; null: by hand, @reboot
        fold        INTEGER NOT NULL,
        era         INTEGER NOT NULL,
        trigger     TEXT NOT NULL,
        attempt     INTEGER NOT NULL,
        state       TEXT NOT NULL,
        reason      TEXT NOT NULL DEFAULT '',
        pid         INTEGER,
        pid_start   INTEGER,          -- /proc/PID/stat field 22: with the pid, which process it was
        started_at  REAL,
        ended_at    REAL,
        duration_s  REAL,             -- by a clock that nobody turns
        exit_status INTEGER,
        signal      INTEGER,
        cpu_s       REAL,
        max_rss_kb  INTEGER,
        lateness_ms REAL,
        bytes       INTEGER NOT NULL DEFAULT 0,  -- of output, in the spool
        delivered   INTEGER NOT NULL DEFAULT 0,  -- bytes of it that syslog has taken
        told        INTEGER NOT NULL DEFAULT 0,  -- 0 nothing, 1 CMD, 2 CMDEND and EXIT, 3 and all output
        until       REAL,             -- of a folded row: its last fire, and how many it stands for
        folded      INTEGER, start_at REAL,
        UNIQUE (key, wall, fold, attempt, era)
    ) STRICT;
INSERT INTO "runs" VALUES(1,'root/boot',1749556800.0,NULL,0,0,'reboot',1,'succeeded','',1001,100001,1749556800.0,1749556801.0,1.0,0,NULL,NULL,NULL,0.0,0,0,3,NULL,NULL,NULL);
INSERT INTO "runs" VALUES(2,'root/every',1749556860.0,29159281,0,0,'schedule',1,'succeeded','',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,0,3,1749556980.0,3,NULL);
INSERT INTO "runs" VALUES(5,'root/every',1749557040.0,29159284,0,0,'schedule',1,'failed','',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,0,3,1749557100.0,2,NULL);
INSERT INTO "runs" VALUES(7,'root/every',1749557160.0,29159286,0,0,'schedule',1,'missed','daemon-down: 2025-06-10 12:05 to 2025-06-10 12:08',NULL,NULL,NULL,1749557340.0,NULL,NULL,NULL,NULL,NULL,NULL,0,0,3,1749557280.0,3,NULL);
INSERT INTO "runs" VALUES(8,'root/every',1749557340.0,29159289,0,0,'schedule',1,'missed','daemon-down: it was held up',NULL,NULL,NULL,1749557460.0,NULL,NULL,NULL,NULL,NULL,NULL,0,0,3,1749557400.0,2,NULL);
INSERT INTO "runs" VALUES(9,'root/every',1749557460.0,29159291,0,0,'schedule',1,'skipped','clock-step: +120 s',NULL,NULL,NULL,1749557580.0,NULL,NULL,NULL,NULL,NULL,NULL,0,0,3,1749557520.0,2,NULL);
INSERT INTO "runs" VALUES(10,'root/every',1749557580.0,29159293,0,0,'schedule',1,'missed','suspended: 120 s',NULL,NULL,NULL,1749557700.0,NULL,NULL,NULL,NULL,NULL,NULL,0,0,3,1749557640.0,2,NULL);
INSERT INTO "runs" VALUES(11,'root/every',1749557700.0,29159295,0,0,'schedule',1,'unknown','disk-full: it was not written down',NULL,NULL,NULL,1749557820.0,NULL,NULL,NULL,NULL,NULL,NULL,0,0,3,1749557760.0,2,NULL);
INSERT INTO "runs" VALUES(12,'root/every',1749557820.0,29159297,0,0,'schedule',1,'succeeded','',1012,100012,1749557820.0,1749557821.0,1.0,0,NULL,0.01,2000,1.5,0,0,3,NULL,NULL,NULL);
INSERT INTO "runs" VALUES(13,'root/every',1749557880.0,29159298,0,0,'schedule',1,'failed','',1013,100013,1749557880.0,1749557881.0,1.0,1,NULL,NULL,NULL,1.5,0,0,3,NULL,NULL,NULL);
INSERT INTO "runs" VALUES(14,'root/every',1749557940.0,29159299,0,0,'schedule',1,'failed','',1014,100014,1749557940.0,1749557941.0,1.0,NULL,9,NULL,NULL,1.5,0,0,3,NULL,NULL,NULL);
INSERT INTO "runs" VALUES(15,'root/every',1749558000.0,29159300,0,0,'schedule',1,'killed','overlap: replaced by run 4',1015,100015,1749558000.0,1749558001.0,1.0,NULL,15,NULL,NULL,1.5,0,0,3,NULL,NULL,NULL);
INSERT INTO "runs" VALUES(16,'root/every',1749558060.0,29159301,0,0,'schedule',1,'killed','kill: by root',1016,100016,1749558060.0,1749558061.0,1.0,NULL,15,NULL,NULL,1.5,0,0,3,NULL,NULL,NULL);
INSERT INTO "runs" VALUES(17,'root/every',1749558120.0,29159302,0,0,'schedule',1,'killed','kill: by root, SIGTERM',1017,100017,1749558120.0,1749558121.0,1.0,NULL,15,NULL,NULL,1.5,0,0,3,NULL,NULL,NULL);
INSERT INTO "runs" VALUES(18,'root/every',1749558180.0,29159303,0,0,'schedule',1,'killed','stop --kill-jobs',1018,100018,1749558180.0,1749558181.0,1.0,NULL,15,NULL,NULL,1.5,0,0,3,NULL,NULL,NULL);
INSERT INTO "runs" VALUES(19,'root/every',1749558240.0,29159304,0,0,'schedule',1,'timed-out','timeout: it ran for more than 2 s',1019,100019,1749558240.0,1749558241.0,1.0,NULL,15,NULL,NULL,1.5,0,0,3,NULL,NULL,NULL);
INSERT INTO "runs" VALUES(20,'root/every',1749558300.0,29159305,0,0,'schedule',1,'unknown','its exit status went to another process',1020,100020,1749558300.0,1749558301.0,1.0,NULL,NULL,NULL,NULL,1.5,0,0,3,NULL,NULL,NULL);
INSERT INTO "runs" VALUES(21,'root/every',1749558360.0,29159306,0,0,'schedule',1,'unknown','the daemon died in the instant of its start',NULL,NULL,NULL,1749558361.0,1.0,NULL,NULL,NULL,NULL,NULL,0,0,3,NULL,NULL,NULL);
INSERT INTO "runs" VALUES(22,'root/every',1749558420.0,29159307,0,0,'schedule',1,'lost','claimed, and the daemon died',NULL,NULL,NULL,1749558421.0,1.0,NULL,NULL,NULL,NULL,NULL,0,0,3,NULL,NULL,NULL);
INSERT INTO "runs" VALUES(23,'root/every',1749558480.0,29159308,0,0,'schedule',1,'failed','start-failed: [Errno 24] Too many open files',NULL,NULL,NULL,1749558481.0,1.0,NULL,NULL,NULL,NULL,NULL,0,0,3,NULL,NULL,NULL);
INSERT INTO "runs" VALUES(24,'root/every',1749558540.0,29159309,0,0,'schedule',1,'skipped','overlap: run 3 still runs',NULL,NULL,NULL,1749558541.0,NULL,NULL,NULL,NULL,NULL,NULL,0,0,3,NULL,NULL,NULL);
INSERT INTO "runs" VALUES(25,'root/every',1749558600.0,29159310,0,0,'schedule',1,'skipped','overlap: replaced by run 9',NULL,NULL,NULL,1749558601.0,NULL,NULL,NULL,NULL,NULL,NULL,0,0,3,NULL,NULL,NULL);
INSERT INTO "runs" VALUES(26,'root/every',1749558660.0,29159311,0,0,'schedule',1,'skipped','lock: run 3 holds db',NULL,NULL,NULL,1749558661.0,NULL,NULL,NULL,NULL,NULL,NULL,0,0,3,NULL,NULL,NULL);
INSERT INTO "runs" VALUES(27,'root/every',1749558720.0,29159312,0,0,'schedule',1,'skipped','queue-full: one waits already, overlap: run 3 still runs',NULL,NULL,NULL,1749558721.0,NULL,NULL,NULL,NULL,NULL,NULL,0,0,3,NULL,NULL,NULL);
INSERT INTO "runs" VALUES(28,'root/every',1749558780.0,29159313,0,0,'schedule',1,'skipped','paused',NULL,NULL,NULL,1749558781.0,NULL,NULL,NULL,NULL,NULL,NULL,0,0,3,NULL,NULL,NULL);
INSERT INTO "runs" VALUES(29,'root/every',1749558840.0,29159314,0,0,'schedule',1,'skipped','paused: kill: by root, SIGTERM',NULL,NULL,NULL,1749558841.0,NULL,NULL,NULL,NULL,NULL,NULL,0,0,3,NULL,NULL,NULL);
INSERT INTO "runs" VALUES(30,'root/every',1749558900.0,29159315,0,0,'schedule',1,'skipped','removed: the job is gone',NULL,NULL,NULL,1749558901.0,NULL,NULL,NULL,NULL,NULL,NULL,0,0,3,NULL,NULL,NULL);
INSERT INTO "runs" VALUES(31,'root/every',1749558960.0,29159316,0,0,'schedule',1,'missed','within: it could not start within 90 s',NULL,NULL,NULL,1749558961.0,NULL,NULL,NULL,NULL,NULL,NULL,0,0,3,NULL,NULL,NULL);
INSERT INTO "runs" VALUES(32,'root/every',1749559020.0,29159317,0,0,'schedule',1,'missed','daemon-down: it died before this was started',NULL,NULL,NULL,1749559021.0,NULL,NULL,NULL,NULL,NULL,NULL,0,0,3,NULL,NULL,NULL);
INSERT INTO "runs" VALUES(33,'root/every',1749559080.0,29159318,0,0,'schedule',1,'killed','kill: by root',NULL,NULL,NULL,1749559081.0,NULL,NULL,NULL,NULL,NULL,NULL,0,0,3,NULL,NULL,NULL);
INSERT INTO "runs" VALUES(34,'root/every',1749559080.0,29159318,0,0,'retry',2,'succeeded','',1034,100034,1749559080.0,1749559081.0,1.0,0,NULL,NULL,NULL,1.5,0,0,3,NULL,NULL,NULL);
INSERT INTO "runs" VALUES(35,'root/every',1749559140.0,29159319,0,0,'schedule',1,'waiting','overlap: run 3 still runs',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,0,0,NULL,NULL,NULL);
INSERT INTO "runs" VALUES(36,'root/every',1749559200.0,29159320,0,0,'schedule',1,'waiting','lock: run 3 holds db',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,0,0,NULL,NULL,NULL);
INSERT INTO "runs" VALUES(37,'root/every',1749559260.0,29159321,0,0,'schedule',1,'waiting','max-running: as many run as may',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,0,0,NULL,NULL,NULL);
INSERT INTO "runs" VALUES(38,'root/every',1749559320.0,29159322,0,0,'schedule',1,'waiting','daemon-down: it died before this was started',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,0,0,NULL,NULL,NULL);
INSERT INTO "runs" VALUES(39,'root/every',1749559380.0,29159323,0,0,'schedule',1,'waiting','',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,0,0,NULL,NULL,1749562200.0);
INSERT INTO "runs" VALUES(40,'root/every',1749559440.0,29159324,0,0,'schedule',1,'claimed','',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,0,0,NULL,NULL,NULL);
INSERT INTO "runs" VALUES(41,'root/every',1749559500.0,29159325,0,0,'schedule',1,'running','',1041,100041,1749559500.0,NULL,NULL,NULL,NULL,NULL,NULL,1.5,0,0,0,NULL,NULL,NULL);
INSERT INTO "runs" VALUES(42,'root/every',1749559560.0,29159326,0,0,'schedule',1,'running','kill: by root, SIGINT',1042,100042,1749559560.0,NULL,NULL,NULL,NULL,NULL,NULL,1.5,0,0,0,NULL,NULL,NULL);
INSERT INTO "runs" VALUES(43,'root/every',1749559620.0,29159327,0,0,'schedule',1,'running','kill: by root',1043,100043,1749559620.0,NULL,NULL,NULL,NULL,NULL,NULL,1.5,0,0,0,NULL,NULL,NULL);
INSERT INTO "runs" VALUES(44,'root/every',1749559680.0,29159328,0,0,'schedule',1,'running','timeout: it ran for more than 2 s',1044,100044,1749559680.0,NULL,NULL,NULL,NULL,NULL,NULL,1.5,0,0,0,NULL,NULL,NULL);
CREATE INDEX job_versions_open ON job_versions (key) WHERE until IS NULL;
CREATE INDEX runs_of_job ON runs (key, id);
CREATE INDEX runs_open ON runs (id) WHERE state IN ('claimed', 'waiting', 'running');
CREATE INDEX runs_untold ON runs (id) WHERE told < 3;
CREATE INDEX pauses_open ON pauses (key) WHERE ended_at IS NULL;
CREATE INDEX alarms_open ON alarms (id) WHERE next_at IS NOT NULL;
CREATE INDEX jobs_in_force ON jobs (file, loaded) WHERE loaded <> 0;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('runs',44);
PRAGMA user_version = 5;
COMMIT;
