"""Text tables: what comes back, and what is said of what cannot."""

from __future__ import annotations

import csv
import gzip
import random
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genre.core.errors import DataError
from genre.data.readers.delimited import find_separator, read_delimited
from genre.data.readers.file_table import FileTable
from genre.data.readers.sources import open_source

FIELD = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12) | st.sampled_from(
    ['say "no"', "a,b", "a;b", "two\nlines", '"', "影评，好", "::", "|"]
)


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(path: Path, separator: str = ",", encoding: str = "utf-8") -> FileTable:
    return read_delimited(open_source(path, encoding), separator)


@settings(max_examples=60)
@given(
    rows=st.lists(st.lists(FIELD, min_size=3, max_size=3), min_size=1, max_size=8),
    separator=st.sampled_from([",", ";", "\t", "|"]),
)
def test_what_is_written_comes_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], separator: str
) -> None:
    path = tmp_path_factory.mktemp("csv") / "table.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, delimiter=separator, quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerow(["first", "second", "third"])
        writer.writerows(rows)
    raw = read(path, separator)
    found = [tuple(field or None for field in row) for row in raw.frame.rows()]
    assert found == [tuple(field or None for field in row) for row in rows]
    assert not raw.findings


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_all_line_ends_are_read(tmp_path: Path, end: str) -> None:
    assert read(write(tmp_path / "a.csv", f"a,b{end}1,2{end}3,4{end}")).frame.rows() == [("1", "2"), ("3", "4")]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "gb18030", "latin-1"])
def test_encodings_are_read(tmp_path: Path, encoding: str) -> None:
    word = "café" if encoding == "latin-1" else "影评"
    path = write(tmp_path / "a.csv", f"a,b\n1,{word}\n".encode(encoding))
    given = "utf-8" if encoding == "utf-8-sig" else encoding
    assert read(path, encoding=given).frame.rows() == [("1", word)]


def test_packed_files_are_read(tmp_path: Path) -> None:
    text = b"a,b\n1,x\n2,\xc3\xa9\n"
    assert read(write(tmp_path / "a.csv.gz", gzip.compress(text))).frame.rows() == [("1", "x"), ("2", "é")]
    pl.LazyFrame({"a": ["1", "2"], "b": ["x", "é"]}).sink_csv(tmp_path / "a.csv.zst", compression="zstd")
    assert read(tmp_path / "a.csv.zst").frame.rows() == [("1", "x"), ("2", "é")]


def test_a_path_with_brackets_is_a_path(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a[1].csv", "a,b\n1,2\n")).frame.rows() == [("1", "2")]


def test_names_are_stripped_and_a_nameless_column_is_left_out(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a.csv", ", a ,,b\n0,1,,2\n")).frame.to_dict(as_series=False) == {
        "a": ["1"],
        "b": ["2"],
    }


def test_stray_quotation_marks_are_text(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'a,b\n1,5" nails\n2,plain\n3,7" nails\n')
    raw = read(path)
    assert raw.frame["b"].to_list() == ['5" nails', "plain", '7" nails']


def test_tabs_stand_between_fields_with_unclosed_quotation_marks(tmp_path: Path) -> None:
    raw = read(write(tmp_path / "a.tsv", 'a\tb\n1\t"Hello\n2\tplain\n'), "\t")
    assert raw.frame.rows() == [("1", '"Hello'), ("2", "plain")]


def test_lines_are_counted_across_quoted_ones_and_blanks(tmp_path: Path) -> None:
    raw = read(write(tmp_path / "a.csv", 'a,b\n1,"x\ny"\n\n2,\n3,z\n4\n'))
    assert raw.line_numbers is not None
    assert raw.frame["a"].to_list() == ["1", "2", "3"]
    assert raw.line_numbers(pl.Series([0, 1, 2]).to_numpy()).tolist() == [2, 5, 6]
    assert raw.findings[0].line == 7


@pytest.mark.parametrize("last", ["", "filled"])
def test_lines_are_counted_from_the_top_of_the_file(tmp_path: Path, last: str) -> None:
    raw = read(write(tmp_path / "a.csv", f'\n\na,b,c\n1,"x\ny\nz",{last}\n\n2,y,3\n'))
    assert raw.line_numbers is not None
    kept = raw.frame["a"].is_not_null().arg_true().to_numpy()
    assert raw.line_numbers(kept).tolist() == [4, 8]


def test_two_columns_of_one_name_are_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "\na,b, a\n1,2,3\n")
    with pytest.raises(DataError) as error:
        read(path)
    assert str(error.value) == (
        f"{path}:2, column 'a': two columns are called 'a'. Give each column a name of its own."
    )


@pytest.mark.parametrize("line", ["1", "1\t2\t3"])
def test_a_file_without_a_header_needs_the_right_width(tmp_path: Path, line: str) -> None:
    source = open_source(write(tmp_path / "a.tsv", f"{line}\n4\t5\n"))
    raw = read_delimited(source, "\t", names=["a", "b"], quoted=False)
    assert raw.frame.rows() == [("4", "5")]
    assert (raw.findings[0].line, raw.findings[0].value) == (1, line)


@pytest.mark.parametrize("separator", [",", "::"])
def test_uneven_lines_are_named_and_left_out(tmp_path: Path, separator: str) -> None:
    lines = ["a,b,c", "1,2,3", "1,2", "4,5,6", "1", "1,2,3,4", "1,2"]
    path = write(tmp_path / "a.csv", "\n".join(lines).replace(",", separator))
    raw = read(path, separator)
    assert raw.frame.rows() == [("1", "2", "3"), ("4", "5", "6")]
    short = f"1{separator}2"
    assert str(raw.findings[0]) == (
        f"{path}:3: '{short}' has 2 fields, not 3 (4 such lines: 3, 5, 6 and 1 more). "
        "Give every line as many fields as the header, with quotation marks around one that holds a separator."
    )


def test_empty_last_fields_are_no_short_lines(tmp_path: Path) -> None:
    raw = read(write(tmp_path / "a.csv", 'a,b\n1,\n"2,2",\n3,x\n'))
    assert raw.frame.rows() == [("1", None), ("2,2", None), ("3", "x")]
    assert not raw.findings


def test_an_unclosed_quotation_mark_is_named_with_its_line(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'a,b\n1,x\n2,"open\n3,y\n')
    with pytest.raises(DataError) as error:
        read(path)
    assert str(error.value) == (
        f"{path}:3: a quotation mark opens a field here and is not closed, or stands undoubled inside it. "
        'Write a quotation mark inside a quoted field twice (""), and close the field.'
    )


@pytest.mark.parametrize(
    ("text", "bad", "likely"),
    [("café".encode("latin-1"), "0xe9", "latin-1"), ("影评".encode("gb18030"), "0xc6", "gb18030")],
)
@pytest.mark.parametrize("packed", [False, True])
def test_the_first_wrong_byte_is_named(tmp_path: Path, text: bytes, bad: str, likely: str, packed: bool) -> None:
    content = b"a,b\n1,x\n2," + text + b"\n3,y\n"
    path = write(tmp_path / "a.csv", gzip.compress(content) if packed else content)
    with pytest.raises(DataError) as error:
        read(path)
    assert str(error.value) == f"{path}:3: byte {bad} is not UTF-8. Try `data.encoding: {likely}`."


def test_a_wrong_encoding_setting_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", b"a,b\n1,\xff\xff\n")
    with pytest.raises(DataError, match=r"a\.csv:2: byte 0xff is not GB18030\. Try `data\.encoding: utf-8`\."):
        read(path, encoding="gb18030")


def test_a_cut_off_packed_file_is_an_error(tmp_path: Path) -> None:
    digits = "".join(random.Random(0).choices("0123456789", k=400_000))
    text = "a,b\n" + "".join(f"{digits[at : at + 8]},x\n" for at in range(0, len(digits), 8))
    path = write(tmp_path / "a.csv.gz", gzip.compress(text.encode())[:-5000])
    with pytest.raises(DataError, match="It is cut off or damaged: fetch it again"):
        read(path)


@pytest.mark.parametrize(
    ("line", "separator"),
    [("a,b,c", ","), ("a\tb", "\t"), ("a;b;c,d", ";"), ("a|b", "|"), ("a::b::c", "::"), ("a", ",")],
)
def test_the_separator_is_found(line: str, separator: str) -> None:
    assert find_separator([line]) == separator
