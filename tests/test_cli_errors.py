import pytest
import typer

from cleartrace.cli_errors import errors_in_words


def test_what_a_user_can_mend_is_one_message(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as stopped, errors_in_words(ValueError, FileNotFoundError):
        raise ValueError("no such kind")
    assert stopped.value.exit_code == 2
    assert capsys.readouterr().err == "error: no such kind\n"


def test_a_defect_keeps_its_traceback() -> None:
    with pytest.raises(KeyError), errors_in_words(ValueError):
        raise KeyError("x")
