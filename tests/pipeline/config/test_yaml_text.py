"""YAML: what is written is read, and whatever else a file holds is refused in one line, soon."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
import yaml

from pipeline.config import read_config, read_value, read_yaml, resolve, write_yaml, yaml_text
from pipeline.config.yaml_text import MAX_BYTES, MAX_VALUES, YamlError, parse_yaml, read_document
from pipeline.errors import UserError

BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))
MERGE_BOMB = "m0: &m0 {x: 1}\n" + "".join(f"m{n}: &m{n} {{<<: [*m{n - 1}, *m{n - 1}]}}\n" for n in range(1, 40))
CHAIN = "c0: &c0 []\n" + "".join(f"c{n}: &c{n} [*c{n - 1}]\n" for n in range(1, 3000))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOMB, r"line 1\d: aliases that stand for more than"),
        (MERGE_BOMB, r"line 1\d: aliases that stand for more than"),
        (CHAIN, r"line \d\d: aliases that stand for more than 20000 values or 32 levels"),
        ("a: &a [*a]", "line 1: an alias inside what it stands for"),
        ("a: " + "[" * 5000 + "]" * 5000, "line 1: more than 32 lists and mappings inside each other"),
        ("a: " + "{b: " * 5000, "line 1: more than 32"),
        ("- " * 5000, "line 1: more than 32"),
        ("a:\n" + "- x\n" * (MAX_VALUES + 1), f"line {MAX_VALUES - 1}: more than {MAX_VALUES} keys and values"),
        ("a: 1\nb: 2\na: 3", "line 3: key 'a' is given twice, first on line 1"),
        ("a: {b: 1,\n  b: 2}", "line 2: key 'b' is given twice, first on line 1"),
        ("no: 1", "line 1: key 'no' is no text; put it in quotes"),
        ("[1]: 1", "line 1: key 'sequence' is no text"),
        ("a: 1" + "0" * 5000, "line 1: a number of 5001 characters; at most 40"),
        ("a: 0x" + "f" * 5000, "line 1: a number of 5002 characters"),
        ("a: !!python/object/apply:os.system ['true']", r"line 1: a value of type 'tag:yaml.org,2002:python|line 1: "),
        ("a: !!binary aGk=", "line 1: a value of type 'binary' is not allowed"),
        ("a: !!set {b}", "line 1: a value of type 'set'"),
        ("a: !!int many", "line 1: 'many' is no int"),
        ("a: !!bool x", "line 1: 'x' is no bool"),
        ("a: !!map x", "line 1: a value of type 'map'"),
        ('a: "\\ud800"', "line 1: the character '\\\\ud800' is not allowed in text"),
        ('a: "b\\0"', r"line 1: the character '\\x00'"),
        ("a: [1", "line 1: expected ',' or ']'"),
        ("a: *b", "line 1: found undefined alias 'b'"),
        ("a: 1\n---\nb: 2", "line 2: but found another document"),
        ("a: \x07", "unacceptable character"),
    ],
    ids=lambda text: text[:24],
)
def test_refused_in_one_line_within_a_moment(text: str, said: str) -> None:
    started = time.process_time()
    with pytest.raises(YamlError, match=said) as refusal:
        parse_yaml(text)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 300
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2e-4", 2e-4),
        ("1.5e3", 1500.0),
        ("0.5", 0.5),
        ("-3", -3),
        ("1_000", 1000),
        ("0x10", 16),
        (".inf", float("inf")),
        ("12:30", "12:30"),
        ("2026-01-02", "2026-01-02"),
        ("[2, 2]", [2, 2]),
        ("true", True),
        ("~", None),
        ("", None),
        ("s3://bucket/a", "s3://bucket/a"),
        ("{a: &x [1], b: *x}", {"a": [1], "b": [1]}),
        ("{a: &x {c: 1}, b: {<<: *x, d: 2}}", {"a": {"c": 1}, "b": {"c": 1, "d": 2}}),
    ],
)
def test_what_a_value_means(text: str, value: object) -> None:
    found = read_value(text)
    assert found == value
    assert type(found) is type(value)


def test_keys_know_their_lines() -> None:
    assert parse_yaml("").lines == {}
    assert parse_yaml("a: 1\nb:\n  c: 2\n").lines == {("a",): 1, ("b",): 2, ("b", "c"): 3}
    assert parse_yaml("a:\n- b: 1\n- {}\n").lines == {("a",): 1, ("a", "0", "b"): 2}
    merged = parse_yaml("x: &x\n  a: 1\ny: &y\n  b: 2\nz:\n  <<: [*x, *y]\n  c: 3\n")
    assert merged.value["z"] == {"a": 1, "b": 2, "c": 3}
    assert {path[1]: line for path, line in merged.lines.items() if path[1:] and path[0] == "z"} == {
        "a": 2, "b": 4, "c": 7,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("allowed", "refused", "said"),
    [
        ("[" * 32 + "]" * 32, "[" * 33 + "]" * 33, "more than 32 lists and mappings"),
        ("a: &a " + "[" * 31 + "]" * 31 + "\nb: [1]", "a: &a " + "[" * 31 + "]" * 31 + "\nb: [*a]", "32 levels"),
        (
            "a: &a [" + "x, " * 9_997 + "]\nb: [*a]",  # 20,000: two keys, four lists and mappings, twice the values
            "a: &a [" + "x, " * 9_998 + "]\nb: *a",
            "line 1: aliases .*20000 values",
        ),
        ("1" * 40, "1" * 41, "a number of 41 characters; at most 40"),
        ('"\\t\\n \\ud7ff\\ue000"', '"\\x1f"', r"'\\x1f' is not allowed"),
        ('"\\ud7ff\\ue000"', '"\\udfff"', r"'\\udfff' is not allowed"),
        ("a: !!float 1.0\nb: !!int 2\nc: !!str 3\nd: !!bool no", "a: !!float 1", "'1' is no float"),
        ("a: &x {b: 1}\nc: *x\nd: *x", "a: &x {b: *x}", "line 1: an alias inside what it stands for"),
    ],
    ids=lambda text: text[:24],
)
def test_what_is_on_a_bound_is_allowed_and_what_is_past_it_refused(allowed: str, refused: str, said: str) -> None:
    parse_yaml(allowed)
    with pytest.raises(YamlError, match=said):
        parse_yaml(refused)


@pytest.mark.parametrize(
    "text", ["[1]: 1", "no: 1", "a: !!set {b}", f"a: {'1' * 41}", "a: !!int many", 'a: "\\0"', "a: *b", "a: &b [*b]"]
)
def test_an_error_names_the_line_that_holds_it(text: str) -> None:
    for number in (1, 2, 4):
        with pytest.raises(YamlError, match=f"^line {number}: "):
            parse_yaml("x: 0\ny: 0\nz: 0\n"[: 5 * (number - 1)] + text)


@pytest.mark.parametrize("text", ["2e-4", "12:30", "2026-01-02", "no", "1_0", "0x1", "~", "=", "<<", " a", "a: b"])
def test_text_that_looks_like_something_else_is_written_so_that_it_reads_back(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(write_yaml({"a": text}))
    assert read_yaml(path) == {"a": text}


def test_only_regular_files_of_a_bounded_size_are_read(tmp_path: Path) -> None:
    pipe, large, missing = tmp_path / "pipe", tmp_path / "large", tmp_path / "missing"
    os.mkfifo(pipe)
    large.write_text("#" * (MAX_BYTES + 1))
    for path, said in ((pipe, "is no file"), (tmp_path, "is no file"), (large, "larger than"), (missing, "not exist")):
        with pytest.raises(UserError, match=said):
            read_yaml(path)
    with pytest.raises(UserError, match="does not exist"):
        read_yaml("a\0b")


def test_a_file_may_be_as_large_as_the_bound(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("a: 1\n".ljust(MAX_BYTES, "#"))
    assert read_yaml(path) == {"a": 1}


def test_keys_keep_their_order(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(write_yaml({"b": 1, "a": {"d": 2, "c": 3}}))
    assert (list(read_yaml(path)), list(read_yaml(path)["a"])) == (["b", "a"], ["d", "c"])


def test_a_refusal_says_which_kind_of_file_it_was(tmp_path: Path) -> None:
    missing = tmp_path / "none.yaml"
    with pytest.raises(UserError, match=f"^configuration file {missing} does not exist$"):
        read_yaml(missing)
    with pytest.raises(UserError, match=f"^search space {missing} does not exist$"):
        read_yaml(missing, "search space")


CONFIG = """\
defaults:
  storage: runs
  data: {train: a, val: b}
  training:
    steps: 10
    global_batch_size: 8
tasks:
  denoising_gray: {setting: {sigma: 25}}
"""


def test_the_file_that_the_next_tests_damage_is_sound(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(CONFIG)
    assert resolve(read_config(path), "denoising_gray").setting == {"sigma": 25}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("denoising_gray", "denoising_gary", r"line 8: unknown task 'denoising_gary' \(there are: denoising_color, "),
        ("denoising_gray", "denoising", "line 8: unknown task 'denoising'"),
        ("tasks:", "  training: {steps: 9}\ntasks:", "line 7: key 'training' is given twice, first on line 4"),
        ("tasks:", "task:", r"line 7: unknown key 'task' \(there are: defaults, tasks\)"),
        ("    steps: 10", "    stepz: 10", r"line 5: unknown key 'defaults\.training\.stepz' .*steps"),
        ("  storage: runs", "  task: sr_x2", r"line 2: unknown key 'defaults\.task'"),
        ("{train: a, val: b}", "[a, b]", r"line 3: 'defaults\.data' must be a mapping"),
        ("{setting: {sigma: 25}}", "[1]", r"line 8: 'tasks\.denoising_gray' must be a mapping"),
        ("{setting: {sigma: 25}}", "{training: [1]}", r"line 8: 'tasks\.denoising_gray\.training' must be a mapping"),
        ("  denoising_gray: {setting: {sigma: 25}}", "  - a", "line 7: 'tasks' must be a mapping"),
    ],
)
def test_nothing_in_a_file_is_passed_over(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = tmp_path / "c.yaml"
    assert old in CONFIG
    path.write_text(CONFIG.replace(old, new))
    with pytest.raises(UserError, match=r"c\.yaml.*" + said) as refusal:
        read_config(path)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("task=sr_x2", "the task is no key of a configuration; choose it with --tasks"),
        ("training=3", "'training' must be a mapping"),
        ("seed=-1", r"seed: .*greater than or equal to 0 \(given: -1\)"),
        ("seed=1.5", "seed: .*integer"),
        ("training.betas=[2, 5]", r"training\.betas\.0: .*less than 1 \(given: 2"),
        ("training.betas=[0.9]", r"training\.betas"),
        ("training.learning_rate=.inf", r"training\.learning_rate: .*finite"),
        ("training.learning_rate=.nan", r"training\.learning_rate: .*finite"),
        ("training.learning_rate=1e30", r"training\.learning_rate: .*less than or equal to 10"),
        ("training.gradient_clipping=.inf", r"training\.gradient_clipping: .*finite"),
        ("training.global_batch_size=1000000000", r"training\.global_batch_size: .*65536"),
        ("training.steps=1e9", r"training\.steps: .*integer"),
        ("training.ema_decay=1", r"training\.ema_decay: .*less than 1"),
        ("training.random_k=[0]", r"training\.random_k\.0: .*greater than or equal to 1"),
        ("data.patch_size=100000", r"data\.patch_size: .*4096"),
        ("setting.sigma=.nan", "settings of denoising_gray: sigma: .*got nan"),
        ("setting.sigm=3", "settings of denoising_gray: unknown key 'sigm'"),
        ("a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q=1", "expected a.b=value"),
    ],
)
def test_what_no_worker_could_use_is_refused_at_once(tmp_path: Path, override: str, said: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(CONFIG)
    with pytest.raises(UserError, match=said) as refusal:
        resolve(read_config(path), "denoising_gray", [override])
    assert "\n" not in str(refusal.value)


def test_a_fault_without_a_line_is_said_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(loader: object) -> None:
        raise yaml.MarkedYAMLError(problem="something odd")

    monkeypatch.setattr(yaml_text._Loader, "get_single_node", fail)
    with pytest.raises(YamlError, match=r"^something odd$"):
        parse_yaml("a: 1")


def test_a_document_is_a_configuration_file_unless_it_is_called_otherwise(tmp_path: Path) -> None:
    for found, said in (({}, "configuration file"), ({"what": "space"}, "space")):
        for read in (read_document, read_yaml):
            with pytest.raises(UserError, match=f"^{said} {tmp_path / 'none'} does not exist$"):
                read(tmp_path / "none", **found)
