"""YAML is read as PyYAML's own safe loader reads it, faster."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from genre.core.yaml_reading import read_yaml


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a: {b: [1, 2.5, null, true], c: 'x', d: \"\\u00e9\"}\n",
        "base: &x {b: 1}\nother: {<<: *x, c: 2}\n",
        "day: 2020-01-02\nblock: |\n  two\n  lines\n",
        "- 流浪\n- ~\n- 0x1f\n",
        "a: 1\na: 2\n",
    ],
)
def test_it_reads_what_the_safe_loader_reads(text: str) -> None:
    assert read_yaml(text)[0] == yaml.safe_load(text)


@pytest.mark.parametrize(
    "text",
    ["a: b: c", "a: [1", "a: 'x", "\tb: 1", "a: *x", "--- 1\n--- 2", "{[a]: 1}", "a: \x00", "a: !!python/name:x"],
)
def test_its_errors_are_those_of_the_safe_loader(text: str) -> None:
    said: list[Any] = []
    for read in (read_yaml, yaml.safe_load):
        with pytest.raises(yaml.YAMLError) as error:
            read(text)
        said.append(str(error.value))
    assert said[0] == said[1]


@pytest.mark.parametrize("text", ["[" * 100_000, "- " * 100_000, "a: &a {b: *a}\n{c: " * 2])
def test_what_is_nested_without_end_is_an_error(text: str) -> None:
    with pytest.raises((RecursionError, yaml.YAMLError)):
        read_yaml(text)


def test_a_node_tells_where_a_setting_stands() -> None:
    _, node = read_yaml("a: 1\nb:\n  c: 2\n")
    assert isinstance(node, yaml.MappingNode)
    (_, _), (key, inner) = node.value
    assert (key.value, key.start_mark.line) == ("b", 1)
    assert inner.value[0][0].start_mark.line == 2
