"""Every text that is shown or withheld has its line, whole and without personal data, whoever writes at once."""

from __future__ import annotations

import hashlib
import json
import stat
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from genre.core.errors import ConfigError
from genre.core.run import RunContext
from genre.generation.audit import AuditLog
from genre.generation.person import Person
from genre.generation.requests import Request
from genre.generation.write_config import WriteConfig
from genre.generation.writer import writer_of
from tests.generation.test_writer import COMMON, KID, MISCHIEF, TRAMP, WRONG, config, request
from tests.language.server import Server

ANN = "ann@example.com"


def asked(user: str = ANN) -> Request:
    return replace(request(), person=Person("", ("City Lights",)), user_id=user)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write(settings: WriteConfig, *requests: Request) -> list[str]:
    found = writer_of(settings, RunContext(), common_words=COMMON).write(requests or [asked()])
    return [text.text for text in found]


def test_a_line_tells_what_was_shown_to_whom_without_telling_who(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "audit.jsonl"
    settings = config(TRAMP, WRONG, audit=path)
    settings.check_installed()
    assert write(settings) == [TRAMP]
    (line,) = lines(path)
    assert datetime.fromisoformat(line.pop("time")).tzinfo is not None
    assert line.pop("model").startswith("fake-")
    assert len(line.pop("prompt")) == 16
    assert line.pop("user") == AuditLog(path).user(ANN) != AuditLog(path).user("bob")
    assert "true" in line.pop("checks")
    assert line == {
        "shown": True, "scenario": "video", "kind": "free", "language": "en", "item_id": "kid", "writer": "model",
        "refused": {"true": 1}, "fell_back": False, "repaired": False,
        "sha256": hashlib.sha256(TRAMP.encode()).hexdigest(),
    }  # fmt: skip
    written = b"".join(one.read_bytes() for one in path.parent.iterdir() if one.is_file())
    for secret in (ANN, TRAMP, KID.text, "City Lights"):
        assert secret.encode() not in written
    assert stat.S_IMODE(path.with_name("audit.jsonl.salt").stat().st_mode) == 0o600


def test_another_log_has_other_names_for_the_same_people(tmp_path: Path) -> None:
    assert AuditLog(tmp_path / "a.jsonl").user(ANN) != AuditLog(tmp_path / "b.jsonl").user(ANN)


def test_what_is_withheld_stands_in_it_too(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    assert write(WriteConfig(banned=("baby", "mischief"), audit=path)) == [""]
    with Server(unwanted=lambda text: "baby" in text) as server:
        moderation = {"base_url": server.url, "model": "toy", "backoff": 0.01}
        write(config(TRAMP, MISCHIEF, moderation=moderation, audit=path))
        write(config(TRAMP, moderation=moderation, audit=path))
    banned, moderated, nothing = lines(path)
    assert (banned["shown"], banned["writer"], banned["withheld"]) == (False, "template", ["banned"])
    assert (moderated["shown"], moderated["refused"], moderated["moderation"]) == (True, {"moderated": 1}, ["violence"])
    assert moderated["checks"][-1] == "moderated"
    assert (nothing["shown"], nothing["fell_back"], nothing["withheld"]) == (False, True, ["violence"])


@pytest.mark.parametrize(
    ("answer", "shown", "fell_back", "refused"),
    [
        (f"{TRAMP} The tramp raises him for 1931 years. {MISCHIEF}", f"{TRAMP} {MISCHIEF}", False, {"true": 1}),
        (WRONG, KID.text, True, {"true": 1}),
    ],
)
def test_a_stream_has_one_line(
    tmp_path: Path, answer: str, shown: str, fell_back: bool, refused: dict[str, int]
) -> None:
    path = tmp_path / "audit.jsonl"
    writer = writer_of(config(answer, audit=path), RunContext(), common_words=COMMON)
    assert " ".join(writer.stream(asked())) == shown
    (line,) = lines(path)
    assert (line["streamed"], line["shown"], line["fell_back"], line["refused"]) == (True, True, fell_back, refused)
    assert line["writer"] == ("template" if fell_back else "model")
    assert ("true" in line["checks"]) != fell_back
    assert line["sha256"] == hashlib.sha256(shown.encode()).hexdigest()
    assert line["model"].startswith("fake-")


def test_of_a_stream_that_nobody_reads_on_what_was_shown_is_told(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    stream = writer_of(config(f"{TRAMP} {MISCHIEF}", audit=path), RunContext(), common_words=COMMON).stream(asked())
    assert next(stream) == TRAMP
    stream.close()  # type: ignore[attr-defined]
    (line,) = lines(path)
    assert line["sha256"] == hashlib.sha256(TRAMP.encode()).hexdigest()
    template = writer_of(WriteConfig(audit=path), RunContext(), common_words=COMMON)
    assert " ".join(template.stream(asked())) == KID.text
    assert lines(path)[1]["writer"] == "template"


def test_it_is_only_added_to_and_whole_after_a_writer_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_text('{"old": 1}\n{"half', encoding="utf-8")
    AuditLog(path).append([{"new": 1}, {"new": 2}])
    AuditLog(path).append([])
    assert path.read_text(encoding="utf-8").splitlines() == ['{"old": 1}', '{"half', '{"new": 1}', '{"new": 2}']


@pytest.mark.slow
def test_processes_do_not_write_into_each_other(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    code = (
        "import sys; from pathlib import Path; from genre.generation.audit import AuditLog\n"
        f"log = AuditLog(Path({str(path)!r}))\n"
        "for at in range(25):\n"
        "    log.append([{'by': sys.argv[1], 'at': at, 'user': log.user('u'), 'long': 'x' * 20000}] * 2)"
    )
    workers = [subprocess.Popen([sys.executable, "-c", code, str(name)]) for name in range(3)]
    assert [worker.wait(60) for worker in workers] == [0, 0, 0]
    found = lines(path)
    assert len(found) == 3 * 25 * 2
    assert len({line["user"] for line in found}) == 1
    for name in range(3):
        assert [line["at"] for line in found if line["by"] == str(name)] == [at for at in range(25) for _ in "ab"]


def test_where_it_cannot_be_written_nothing_is_begun(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    for path in (tmp_path / "file" / "audit.jsonl", tmp_path):
        with pytest.raises(ConfigError, match="the audit log cannot be written"):
            WriteConfig(audit=path).check_installed()
