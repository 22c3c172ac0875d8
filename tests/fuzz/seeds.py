"""Typical crontabs with which fuzzing begins, and the words of the language."""

SEEDS = (
    "",
    "\n\n  \t\n",
    """\
# the machine's own crontab: six fields, with a user
SHELL=/bin/sh
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
MAILTO=root

17 *    * * *   root    cd / && run-parts --report /etc/cron.hourly
25 6    * * *   root    test -x /usr/sbin/anacron || { cd / && run-parts /etc/cron.daily; }
47 6    * * 7   root    run-parts /etc/cron.weekly
52 6    1 * *   root    run-parts /etc/cron.monthly
""",
    """\
MAILTO="ops@example.org, night@example.org"
HOME = /srv/backup
RANDOM_DELAY=10
# m h dom mon dow command
15 2 * * * /usr/local/bin/backup --all >> $HOME/backup.log 2>&1
0,30 8-18 * * mon-fri  ping -c1 gateway >/dev/null || echo "down at $(date +\\%H:\\%M)"
@reboot sleep 30 && /opt/agent/start
@daily find /tmp -mtime +7 -delete
59 23 28-31 * * [ "$(date -d tomorrow +\\%d)" = 01 ] && month-end
""",
    """\
CRON_TZ=Europe/Berlin
#: name=nightly timeout=30m overlap=skip missed=once within=6h
30 2 * * * report --night
CRON_TZ = America/New_York
#: name="of the market" success=0,3 mail=failure
#: on-failure='notify --loud "it failed"'
30 9 * * 1-5 open-market
CRON_TZ=
PYCROND_TIMEOUT=2h
PYCROND_RETRIES=3
*/5 * * * * poll
""",
    """\
0 0 L * * last-day
0 0 LW * * last-workday
0 0 L-3 * * three-before
0 0 15W * * mid-month
0 0 * * 5L last-friday
0 0 * * mon#2 second-monday
H H(2-5) * * * spread
~ 1-5 * * * random
0~30/10 * * * * steps
@every 90m often
@every 1d2h3m odd
@every_minute minute
""",
    """\
30 1 * * 0   mail root%Subject: weekly%%all is well%
0 22-2 * * * never
0 0 * * fri-sun weekend
*/7 */5 1-15/2 JAN,jul-DEC/3 sun,3-5 odd
-n 5 4 * * * x
-*/10 * * * * quiet
* * * * * -n -q -s flags
* * * * * -nqs echo
""",
    """\
61 * * * * x
* 24 * * * x
* * 0 * * x
* * * 13 * x
* * * * 8 x
5/15 * * * * x
1, 2 * * * x
*/0 * * * * x
0 0 * * monday x
@Hourly x
@every 5s x
* * * * *
* * * * * * x
export A=b
A='b'c
MAILTO=
"A B"='c d'
'q=r=s
A="it's"
= nothing
""",
    "* * * * * x",
    "A=b\r\n* * * * * x\r\n\r\n#: name=y\r\n0 0 * * * y\r",
    "\ufeff* * * * * bom\n",
    "* * * * * nul\0 inside\n# comment \0\n",
    "caf\u00e9=\u00fc\u00f1\u00ef\n0 0 1 1 * echo \u65e5\u672c\n",
    "\t \t0\t0\t1\t1\t*\ttabs\n0\v0 1 1 * x\n0 0 1 1 *\u00a0x\n",
    """\
*/5 * * * * www-data [ -x /usr/bin/php ] && php /var/www/artisan schedule:run >/dev/null 2>&1
5-55/10 * * * * root command -v debian-sa1 > /dev/null && debian-sa1 1 1
0 */12 * * * root perl -e 'sleep int(rand(43200))' && certbot -q renew
57 0 * * 0 root if [ -x /usr/share/mdadm/checkarray ] && [ $(date +\\%d) -le 7 ]; then /usr/share/mdadm/checkarray; fi
""",
)
WORDS = (
    "* * * * * ",
    "*/5 ",
    "0 0 ",
    "1-5",
    "fri-sun",
    "jan-dec/2",
    "@daily ",
    "@hourly ",
    "@reboot ",
    "@every 90m ",
    "@every_minute ",
    "CRON_TZ=",
    "Europe/Berlin",
    "UTC",
    "PYCROND_",
    "PYCROND_TIMEOUT=",
    "RANDOM_DELAY=",
    "MAILTO=",
    "SHELL=",
    "#: ",
    "name=",
    "timeout=",
    "overlap=skip",
    "missed=all",
    "retries=3",
    "success=0,3-5",
    "memory=1G",
    "jitter=90s",
    "mon#2",
    "5L",
    "LW",
    "L-3",
    "15W",
    "H(2-5)/3",
    "0~30/10",
    "\\%",
    "\\\\",
    "-n ",
    "-q ",
    "\r\n",
    "\ufeff",
    "root ",
    "\\'",
    '"',
    " = ",
    "export ",
)


def dictionary() -> str:
    """Return the words in the format of libFuzzer's dictionaries, with each byte in hexadecimal."""
    return "".join('"' + "".join(f"\\x{byte:02x}" for byte in word.encode()) + '"\n' for word in WORDS)
