"""help: commands, options of a job, settings."""

import pytest

from pycrond.cli.main import main
from pycrond.cli.option_texts import TEXTS
from pycrond.jobs.options import CRON, OPTIONS, Option


def test_every_option_has_a_text() -> None:
    assert list(TEXTS) == [option.name for option in OPTIONS]
    assert all(text.form and text.text.endswith(".") for text in TEXTS.values())


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_the_forms_and_defaults_are_those_of_the_table(option: Option) -> None:
    text = TEXTS[option.name]
    if text.default:
        assert option.read(text.default) == getattr(CRON, option.attribute)
    if not text.form.isupper():
        for word in text.form.split(" | "):
            option.read(word.replace("LABEL", "web"))


def test_a_command_has_its_own_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help", "kill"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("usage: pycrond kill")
    assert main(["kill", "--help"]) == 0
    assert capsys.readouterr().out == text


@pytest.mark.parametrize("word", ["retry-delay", "retry-delay=", "PYCROND_RETRY_DELAY", "Retry-Delay"])
def test_an_option_of_a_job(capsys: pytest.CaptureFixture[str], word: str) -> None:
    assert main(["help", word]) == 0
    text = capsys.readouterr().out
    assert text.startswith(
        "retry-delay=DURATION    (an option of a job)\n    The time before the first retry."
    )
    assert text.endswith("Default: '60s'.\n")


@pytest.mark.parametrize("word", ["spool-limit", "PYCROND_SPOOL_LIMIT"])
def test_a_setting(capsys: pytest.CaptureFixture[str], word: str) -> None:
    assert main(["help", word]) == 0
    text = capsys.readouterr().out
    assert text.startswith("--spool-limit, PYCROND_SPOOL_LIMIT    (a setting)\n    ")
    assert "MiB of output" in text


def test_a_setting_whose_name_is_that_of_a_command_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help", "--", "--cluster"]) == 0
    assert capsys.readouterr().out.startswith("--cluster, PYCROND_CLUSTER    (a setting)\n")


def test_an_unknown_word_gets_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help", "timout"]) == 1
    assert "did you mean 'timeout'" in capsys.readouterr().err
    assert main(["help", "clustr"]) == 1
    assert "; did you mean 'cluster'?" in capsys.readouterr().err, "a command and a setting"
    assert main(["help", "qqq"]) == 1
    assert "; see 'pycrond help'" in capsys.readouterr().err


def test_without_a_word_help_lists_all_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help"]) == 0
    words = capsys.readouterr().out.split()
    assert {"start", "list", "why", "setup", "help", "retry-delay", "spool-limit"} <= set(words)
