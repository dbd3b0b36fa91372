from __future__ import annotations

import os

import pytest

from pipeline.native_stderr import Held, held_back


def test_what_is_written_beneath_python_waits_for_the_block_to_end_well(capfd: pytest.CaptureFixture[str]) -> None:
    with held_back() as held:
        os.write(2, b"beneath\n")
        assert capfd.readouterr().err == ""
    assert held.text == capfd.readouterr().err == "beneath\n"


def test_of_a_block_that_fails_only_its_own_words_are_left(capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        with held_back() as within:
            said.append(within)
            os.write(2, b"try 1\ntry \xff\n")
            raise OSError("refused")

    said: list[Held] = []
    with pytest.raises(OSError, match="refused"):
        fail()
    (held,) = said
    assert held.text == "try 1\ntry \ufffd\n"
    assert capfd.readouterr().err == ""
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"
