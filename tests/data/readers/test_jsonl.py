"""JSON lines."""

from __future__ import annotations

import ast
import gzip
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genre.core.errors import DataError
from genre.data.readers.jsonl import read_jsonl
from genre.data.readers.sources import open_source

VALUES = st.one_of(
    st.none(),
    st.integers(-(2**53), 2**53),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=10),
    st.lists(st.text("ab影 ", max_size=5), max_size=3),
)


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@settings(max_examples=60)
@given(
    st.lists(
        st.fixed_dictionaries({"id": st.integers(0, 99)}, optional={"x": st.text("ab影\"'\\\n", max_size=9)}),
        min_size=1,
    )
)
def test_what_is_written_comes_back(tmp_path_factory: pytest.TempPathFactory, records: list[dict[str, Any]]) -> None:
    path = write(tmp_path_factory.mktemp("jsonl") / "a.jsonl", *map(json.dumps, records))
    raw = read_jsonl(open_source(path))
    for name in raw.frame.columns:
        assert raw.frame[name].to_list() == [record.get(name) for record in records]


@settings(max_examples=60)
@given(st.lists(VALUES, min_size=1, max_size=6))
def test_mixed_types_become_text_and_never_get_lost(
    tmp_path_factory: pytest.TempPathFactory, values: list[Any]
) -> None:
    path = write(tmp_path_factory.mktemp("jsonl") / "a.jsonl", *(json.dumps({"id": 1, "x": value}) for value in values))
    found = read_jsonl(open_source(path)).frame["x"].to_list()
    assert [value is None for value in found] == [value is None for value in values]
    if found and all(isinstance(value, str) for value in values):
        assert found == values


@pytest.mark.parametrize("content", ['{"a": 1}\n\n{"a": NaN}\n', '{"a": true}\n\n{"a": 2.5}\n'])
def test_what_polars_refuses_is_read_slowly(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(content)
    raw = read_jsonl(open_source(path))
    assert len(raw.frame) == 2
    assert raw.line_numbers is not None
    assert raw.line_numbers(pl.Series([0, 1]).to_numpy()).tolist() == [1, 3]


def test_packed_files_and_odd_paths_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a[1].jsonl.gz"
    path.write_bytes(gzip.compress(b'{"a":1}\n{"a":2}\n'))
    assert read_jsonl(open_source(path)).frame["a"].to_list() == [1, 2]


def test_a_key_that_comes_late_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", *['{"a": 1}'] * 2000, '{"a": 1, "late": "x"}')
    assert read_jsonl(open_source(path)).frame["late"].null_count() == 2000


def test_chosen_keys_are_text_whatever_they_hold(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"a": 5.0, "b": [["x"]], "c": 1}', '{"a": "y", "b": null}')
    frame = read_jsonl(open_source(path), ["a", "b", "d"]).frame
    assert frame.schema == {"a": pl.String, "b": pl.String, "d": pl.String}
    assert [json.loads(frame["b"][0]), frame["b"][1], frame["a"][1]] == [[["x"]], None, "y"]


def test_python_literals_are_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", "{'a': 'it\\'s', 'b': [1, 'é']}", "{'a': None}", "__import__('os').getcwd()")
    raw = read_jsonl(open_source(path), ["a", "b"], parse=ast.literal_eval)
    assert raw.frame["a"].to_list() == ["it's", None]
    assert raw.frame["b"].to_list() == ['[1, "é"]', None]
    assert raw.findings[0].line == 3


def test_lines_that_are_no_objects_are_named_and_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"a": 1}', "", '{"a":', "[1]", '{"a": 2}')
    raw = read_jsonl(open_source(path))
    assert raw.frame["a"].to_list() == [1, 2]
    assert str(raw.findings[0]) == (
        f"{path}:3: '{{\"a\":' is not a JSON object (2 such lines: 3 and 4). Write one whole JSON object on each line."
    )
    assert raw.line_numbers is not None
    assert raw.line_numbers(pl.Series([0, 1]).to_numpy()).tolist() == [1, 5]


def test_one_json_list_is_an_error_with_the_command_that_helps(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", '[{"a": 1},', '{"a": 2}]')
    with pytest.raises(DataError) as error:
        read_jsonl(open_source(path))
    assert str(error.value) == (
        f"{path}:1: the file is one JSON list, not one object a line. "
        "Write the objects one a line: `jq -c '.[]' a.json`."
    )
