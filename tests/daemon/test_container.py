"""As in a container: settings come by the environment, and jobs get it where that is asked for."""

import pytest

from tests.conftest import Crond, wait_until

pytestmark = pytest.mark.daemon


@pytest.mark.parametrize(("wanted", "said"), [("yes", "hello crontab"), ("no", " crontab")])
def test_jobs_get_the_daemons_environment_when_asked_for(crond: Crond, wanted: str, said: str) -> None:
    crond.environment |= {"PYCROND_INHERIT_ENV": wanted, "GREETING": "hello", "PLACE": "daemon"}
    out = crond.folder / "out"
    crond.write("jobs", f'PLACE=crontab\n@reboot echo "$GREETING $PLACE" > {out}\n')
    crond.run("start")
    wait_until(lambda: out.exists() and out.read_text().endswith("\n"))
    assert out.read_text() == f"{said}\n"
