from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import resource
import tarfile
import time
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.steps.bench import Bench
from transload.errors import Rejected
from transload.steps.format import Format


def _format(as_="any", **more):
    return Format(**{"as": as_, **more})


def _refusal(bench, step, data, name="a.csv"):
    with pytest.raises(Rejected) as told:
        bench.does(step, data, name)
    return str(told.value)


GOOD = [
    ("xml", b"<a/>"),
    ("xml", b'<?xml version="1.0" encoding="utf-8"?>\n<a b="1"><!-- x --><b>&lt;&#65;<![CDATA[<]]></b></a>\n'),
    ("xml", "<ä>ü</ä>".encode("utf-16")),
    ("xml", '<?xml version="1.0" encoding="windows-1252"?><a>ü€</a>'.encode("cp1252")),
    ("json", b'{"a": [1, -2.5e999, "NaN", null, true, {}, [], "\\u00fc"]}'),
    ("json", "[ü]".replace("ü", '"ü😀"').encode()),
    ("json", b" 1 "),
    ("json", b"1" * 10_000),
    ("jsonl", b'{"a": 1}\n[2]\r\n"x"'),
    ("csv", b"a,b\n1,2\n"),
    ("csv", b'a,b\r\n"1\r\n,""",2'),
    ("csv", b"\xef\xbb\xbfa,b\n1,\xff\n"),
    ("csv", b"a,b\n1,2\n\n\n"),
    ("csv", b"a,b"),
]


@pytest.mark.parametrize(("as_", "data"), GOOD)
def test_what_is_well_formed_goes_on_as_it_is(bench, as_, data):
    assert {"x": data} == bench.does(_format(as_), data, "x")
    assert bench.outputs[0].path is None
    assert "ok" == bench.found["format"]
    assert as_ == bench.verdicts[0].facts["as"]


@pytest.mark.parametrize(
    ("as_", "data", "reason"),
    [
        ("xml", b"", "it is empty, and no XML"),
        ("xml", b"  \n", "line 2, column 1: no element found"),
        ("xml", b"<a>\n <b></a>", "line 2, column 7: mismatched tag"),
        ("xml", b"<a/><a/>", "line 1, column 5: junk after document element"),
        ("xml", b"<a>", "line 1, column 4: no element found"),
        ("xml", b"<a>\xff</a>", "line 1, column 4: not well-formed"),
        ("xml", b"<a>\0</a>", "line 1, column 4: not well-formed"),
        ("xml", b"<a>&x;</a>", "line 1, column 4: undefined entity"),
        ("xml", b'<?xml version="1.0" encoding="klingon"?><a/>', r"line 1, column \d+: (its encoding cannot be read|unknown encoding)"),
        ("xml", b'<?xml version="1.0" encoding="shift_jis"?><a/>', r"line 1, column \d+: (its encoding cannot be read|unknown encoding)"),
        ("xml", b"a;b", "line 1, column 2: not well-formed"),
        ("json", b"", "it is empty, and no JSON"),
        ("json", b'{"a": 1,\n  x}', "line 2, column 3: Expecting property name"),
        ("json", b'{"a": 1}\n{', "line 2, column 1: Extra data"),
        ("json", b'["a]', "line 1, column 2: Unterminated string"),
        ("json", b'["\t"]', "line 1, column 3: Invalid control character"),
        ("json", b'["NaN",\n  NaN]', "line 2, column 3: NaN is no JSON"),
        ("json", b"[-Infinity]", "line 1, column 2: -Infinity is no JSON"),
        ("json", b'{"a": 1, "b": 2, "a": 3}', 'the key "a" stands twice in one object'),
        ("json", b'{"\\ud800\\n": 1, "\\ud800\\n": 3}', r'the key "\\ud800\\n" stands twice'),
        ("json", b'["x",\n"\xff"]', "line 2, column 2: it is not UTF-8"),
        ("json", b"\xef\xbb\xbf[]", "line 1, column 1: it begins with a byte order mark"),
        ("json", "[]".encode("utf-16"), "line 1, column 1: it is not UTF-8"),
        ("jsonl", b"[]\n\n[]", "line 2, column 1: Expecting value"),
        ("jsonl", b"[]\n[]]\n", "line 2, column 3: Extra data"),
        ("jsonl", b"[]\n[\xff]\n", "line 2, column 2: it is not UTF-8"),
        ("jsonl", b"[]\n[NaN]\n", "line 2, column 2: NaN is no JSON"),
        ("csv", b"", "it is empty, and no CSV"),
        ("csv", b"\n", "line 1: it is empty"),
        ("csv", b"a,b\n1,2\n1\n", "line 3: 1 column, but the first line has 2"),
        ("csv", b'a,b\n"1\n\n2",2\n1,2,3\n', "line 5: 3 columns, but the first line has 2"),
        ("csv", b'a,b\n1,"2\n3,4\n5,6\n', "line 2: a quote is not closed"),
        ("csv", b'a,b\n1,"2"x\n', "line 2: a quote in the middle of a quoted column"),
        ("csv", b"a,b\n\n1,2\n", "line 2: it is empty"),
        ("csv", b"a,b\n1,\x002\n", "line 2, column 3: it holds a NUL"),
        ("csv", b"a,b\r1,2\r", "line 1: a carriage return in the middle of it"),
        ("csv", "a,b\n1,2\n".encode("utf-16"), "line 1, column 4: it holds a NUL"),
        ("csv", b'a,b\n1,"' + b"x\n" * 140_000, "line 2: a column of more than 131072 bytes, or a quote that is not closed"),
    ],
)
def test_what_is_not_well_formed_is_refused_with_the_place(bench, as_, data, reason):
    with pytest.raises(Rejected, match=f"^failed to parse: ({reason})"):
        bench.does(_format(as_), data, "x")
    assert {} == bench.found


LAUGHS = b'<!DOCTYPE l [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;">]>\n<l>&b;</l>'


@pytest.mark.parametrize(
    "data",
    [
        LAUGHS,
        b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><x/>',
        b'<!DOCTYPE x [<!ENTITY % a SYSTEM "http://127.0.0.1/x"> %a;]><x/>',
        b"<!DOCTYPE html><html/>",
        LAUGHS.decode().encode("utf-16"),
    ],
)
def test_xml_with_a_dtd_is_refused(bench, data):
    assert _refusal(bench, _format("xml"), data).endswith("it has a DTD, which may hold entities; such XML is refused")


def test_the_suffix_says_what_any_is(bench):
    for name in ("a.xml", "a.JSON", "a.ndjson", "a.csv"):
        assert _refusal(bench, _format(), b'"', name).startswith("failed to parse")
    assert {"a.txt": b'"'} == bench.does(_format(), b'"', "a.txt")
    assert {"empty": b""} == bench.does(_format(), b"", "empty")
    assert {} == bench.found


@pytest.mark.parametrize("as_", ["xml", "json", "jsonl"])
def test_nesting_has_an_end(bench, as_):
    def nested(depth):
        return b"<a>" * depth + b"</a>" * depth if as_ == "xml" else b"[" * depth + b"]" * depth

    assert 1 == len(bench.does(_format(as_, depth=20), nested(20)))
    for depth in (21, 500, 5_000, 1_000_000):
        assert "nested more than 20 deep" in _refusal(bench, _format(as_, depth=20), nested(depth))
    mixed = b'{"a": [{"b": [[]]}]}'
    if as_ != "xml":
        assert 1 == len(bench.does(_format(as_, depth=5), mixed))
        assert "nested more than 4 deep" in _refusal(bench, _format(as_, depth=4), mixed)


def test_xml_cannot_fill_the_memory(bench, tmp_path):
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    names, tag, text = (tmp_path / name for name in ("names", "tag", "text"))
    with names.open("wb") as file:
        file.write(b"<a>")
        file.writelines(b"<x%d/>" % number for number in range(100_000))
    tag.write_bytes(b"<a b='" + b"x" * 40_000_000 + b"'/>")
    text.write_bytes(b"<a>" + b"x" * 40_000_000 + b"</a>")
    assert "too many different tags" in _refusal(bench, _format("xml"), names)
    assert "a tag or comment of more than 16.8 MB" in _refusal(bench, _format("xml"), tag)
    assert 1 == len(bench.does(_format("xml"), text))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000
    assert time.monotonic() - start < 5
    assert bench.went_on > 40


def test_one_json_document_has_a_largest_size(bench):
    assert "is too large to be looked at as JSON: 11 B, the most is 10 B" == _refusal(bench, _format("json", max_size=10), b"[1,2,3,4,5]")
    assert 1 == len(bench.does(_format("jsonl", max_size=10), b"[1,2,3,4,5]"))


def test_a_line_without_an_end_is_refused(bench, tmp_path):
    path = tmp_path / "long"
    path.write_bytes(b"1\n" + b"x" * 9_000_000)
    for as_ in ("csv", "jsonl"):
        assert "failed to parse: line 2: longer than 8.4 MB" == _refusal(bench, _format(as_), path)


def test_a_csv_has_its_delimiter_and_its_header(bench):
    step = _format("csv", delimiter=";", header=["größe", "id"])
    assert {"a.csv": "id;größe\n1;2,5\n".encode()} == bench.does(step, "id;größe\n1;2,5\n".encode())
    assert {"as": "csv", "rows": "1", "columns": "2"} == bench.verdicts[0].facts
    assert "failed to parse: line 1: there is no column größe, id" == _refusal(bench, step, b"id,x\n")
    assert 1 == len(bench.does(_format("csv", delimiter="\t"), b"a\tb\n1\t2\n"))


def test_a_csv_in_another_encoding_keeps_its_shape(bench):
    assert 1 == len(bench.does(_format("csv"), 'ä,ö\n"ü,",€\n'.encode("cp1252")))
    assert 1 == len(bench.does(_format("csv"), 'ä\u0085,ö\u2028\n"\u0085",\x0b\x0c\x1c\n'.encode()))


def _made(kind):
    out = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr("a", "b")
    elif kind == "tar":
        with tarfile.open(fileobj=out, mode="w") as archive:
            archive.addfile(tarfile.TarInfo("a"))
    elif kind == "exe":
        out.write(b"MZ\x90\0" + bytes(100))
    elif kind == "elf":
        out.write(Path("/bin/true").read_bytes())
    else:
        pack = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}.get(kind)
        texts = {"pdf": b"%PDF-1.7\n\0", "png": b"\x89PNG\r\n\x1a\n\0", "jpg": b"\xff\xd8\xff\xe0", "gif": b"GIF89a\0"}
        out.write(pack(b"x") if pack else texts[kind])
    return out.getvalue()


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *((kind, f"a.{kind}") for kind in ("zip", "tar", "exe", "gz", "bz2", "xz", "pdf", "png", "jpg", "gif")),
        ("zip", "a.xlsx"),
        ("gz", "a.csv.GZ"),
        ("gz", "a.tgz"),
        ("jpg", "a.jpeg"),
        ("elf", "program"),
        ("pdf", "a.unknown"),
    ],
)
def test_a_file_that_is_what_its_suffix_says_goes_on(bench, kind, name):
    assert 1 == len(bench.does(_format(type=True), _made(kind), name))


@pytest.mark.parametrize(
    ("kind", "name", "found"),
    [
        ("exe", "a.csv", "Windows program"),
        ("elf", "a.txt", "Linux program"),
        ("elf", "a.pdf", "Linux program"),
        ("zip", "a.xml", "zip"),
        ("gz", "a.json", "gz"),
        ("pdf", "a.png", "pdf"),
        ("xz", "a.zip", "xz"),
    ],
)
def test_a_file_with_the_wrong_extension_is_refused(bench, kind, name, found):
    suffix = name.rpartition(".")[2]
    expected = f"its name ends with .{suffix}, but its first bytes say {found}"
    assert expected == _refusal(bench, _format(type=True), _made(kind), name)


@pytest.mark.parametrize(
    ("data", "name", "fits"),
    [
        (b"<a/>", "a.xml", True),
        ("<a/>".encode("utf-16"), "a.xml", True),
        (b"\xef\xbb\xbf\n<a/>", "a.xml", True),
        (b"a;b", "a.xml", False),
        (b" [1]", "a.json", True),
        (b"<html>", "a.json", False),
        ("a;b".encode("utf-16"), "a.txt", True),
        (b"a\0b", "a.txt", False),
        (b"text", "a.pdf", False),
        (b"", "a.pdf", True),
    ],
)
def test_texts_are_told_by_how_they_begin(bench, data, name, fits):
    found = []
    try:
        bench.does(_format(type=True), data, name)
    except Rejected as error:
        found.append(str(error))
    assert fits == (not any("first bytes" in one for one in found))


def test_a_suffix_that_is_no_text_passes(bench):
    assert 1 == len(bench.does(_format(type=True), b"x", b"a.\xff\n"))


@pytest.mark.parametrize(
    "wrong", [{"as": "yaml"}, {"as_": "xml"}, {"delimiter": '"'}, {"delimiter": ""}, {"delimiter": "ä"}, {"delimiter": "ab"}, {"depth": 0}]
)
def test_settings_that_cannot_be_are_said(wrong):
    with pytest.raises(ValidationError):
        Format(**wrong)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(GOOD), st.binary(max_size=4), st.integers(0, 60), st.integers(0, 4))
def test_no_bytes_break_it(tmp_path_factory, good, noise, at, cut):
    as_, data = good
    changed = data[:at] + noise + data[at + cut :]
    bench = Bench(tmp_path_factory.getbasetemp())
    file = bench.file(changed, "x")
    try:
        bench.does(_format(as_, type=True), file)
    except Rejected:
        pass
    else:
        if as_ == "json":
            json.loads(changed.decode(), parse_int=str)
    finally:
        file.path.unlink()
