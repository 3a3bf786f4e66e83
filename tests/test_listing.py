"""Lines of LIST and MLSD, as more than twenty families of servers write them, to facts."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transload.listing import Fact, Unread, listed, mlsd

NOW = datetime(2026, 11, 20, 14, 30, tzinfo=UTC)
MINUTE, DAY = 60.0, 86400.0


def at(*when: int, fraction: int = 0) -> int:
    return int(datetime(*when, tzinfo=UTC).timestamp()) * 1_000_000 + fraction  # type: ignore[arg-type, misc]


def read(text: bytes, now: datetime = NOW) -> list[Fact | Unread]:
    return list(listed(text.split(b"\n"), now))


def one(line: bytes, now: datetime = NOW) -> Fact | Unread:
    (fact,) = read(line, now)
    return fact


def file(name: bytes, size: int | None, *when: int, precision: float = MINUTE) -> Fact:
    return Fact(name, "file", size, at(*when) if when else None, precision)


def folder(name: bytes, *when: int, precision: float = MINUTE) -> Fact:
    return Fact(name, "dir", None, at(*when) if when else None, precision)


UNIX = {
    b"-rw-r--r--   1 anna     staff        531 Jan 29 03:26 plan of day": file(b"plan of day", 531, 2026, 1, 29, 3, 26),
    b"drwxr-xr-x   2 anna     staff       4096 Apr  8  1994 old": folder(b"old", 1994, 4, 8, precision=DAY),
    b"-rw-r--r--   1 anna                  512 Apr  8  1994 no group": file(b"no group", 512, 1994, 4, 8, precision=DAY),
    b"-rw-r--r-- 1 7 3518644 May 25 12:12 short": file(b"short", 3518644, 2026, 5, 25, 12, 12),
    b"-r--r--r-- 0125039 12 Nov 11 2005 nobody's": file(b"nobody's", 12, 2005, 11, 11, precision=DAY),
    b"-rw-r--r--   1 14       500         9 Mar 12  3:33 early": file(b"early", 9, 2026, 3, 12, 3, 33),
    b"-rw-r--r--   1 the ftp user people of the night 83853 Jan 22  2001 d": file(b"d", 83853, 2001, 1, 22, precision=DAY),
    b"-rw-r--r--   1 group domain user 531 Jan 29 03:26 e": file(b"e", 531, 2026, 1, 29, 3, 26),
    b"-rwxr-xr-x   2 user     my group 500        5000000000 Mar  2 15:13 big": file(b"big", 5_000_000_000, 2026, 3, 2, 15, 13),
    b"-r-xr-xr-x longowner longgroup123456 Feb 12 17:20 glued": file(b"glued", 123456, 2026, 2, 12, 17, 20),
    b"drwxr-x---+1464 anna   anna     41472 Feb 25 13:17 20090225": folder(b"20090225", 2026, 2, 25, 13, 17),
    b"-rw-r--r--+  1 u g 1 Jan  2 03:04 acl": file(b"acl", 1, 2026, 1, 2, 3, 4),
    b"-rw-r--r--.  1 u g 1 Jan  2 03:04 selinux": file(b"selinux", 1, 2026, 1, 2, 3, 4),
    b"-rw-r--r--@  1 u g 1 Jan  2 03:04 mac": file(b"mac", 1, 2026, 1, 2, 3, 4),
    b"-rwsr-sr-t   1 u g 0 Mar 25 08:23 bits": file(b"bits", 0, 2026, 3, 25, 8, 23),
    b"drwxrwxrwt   1 u g 0 Mar 25 08:23 tmp": folder(b"tmp", 2026, 3, 25, 8, 23),
    b"d---rwxr-x   2 PEP      0          45056 Mar 24 14:06 as400": folder(b"as400", 2026, 3, 24, 14, 6),
    b"-rw-r--r--   1 u g 5 Mar  2 15:13   two blanks before, one behind ": file(b"  two blanks before, one behind ", 5, 2026, 3, 2, 15, 13),
    b"-rw-rw-rw-   1 user group 5840 Mar 19 09:34 123 456 abc.csv": file(b"123 456 abc.csv", 5840, 2026, 3, 19, 9, 34),
    b"-rw-rw-rw-   1 user group 5840 Mar 19 09:34 2014 Jan 1 10:00 x": file(b"2014 Jan 1 10:00 x", 5840, 2026, 3, 19, 9, 34),
    b"-rw-r--r--   1 u g 1 Jan  2 03:04 -n *?[x]": file(b"-n *?[x]", 1, 2026, 1, 2, 3, 4),
    b"-rw-r--r--   1 u g 1 Jan  2 03:04 \xff\xfe caf\xe9": file(b"\xff\xfe caf\xe9", 1, 2026, 1, 2, 3, 4),
    b"-rw-r--r--   1 u g 1 Jan  2 03:04 a\rb": file(b"a\rb", 1, 2026, 1, 2, 3, 4),
    b"   -rw-r--r--   1 u g 1 Jan  2 03:04 indented": file(b"indented", 1, 2026, 1, 2, 3, 4),
    b"-rw-r--r-- 1 u g -5 Jan  2 03:04 negative": file(b"negative", None, 2026, 1, 2, 3, 4),
    b"-rw-r--r-- 1 u g 99999999999999999999 Jan  2 03:04 vast": file(b"vast", None, 2026, 1, 2, 3, 4),
    b"-rw-r--r-- 1 u g 33.5k Oct 5 21:22 rounded": file(b"rounded", None, 2026, 10, 5, 21, 22),
    b"-------r--         326  1391972  1392298 Nov 22  1995 NetPresenz file": file(
        b"NetPresenz file", 1392298, 1995, 11, 22, precision=DAY
    ),
    b"drwxrwxr-x               folder        2 May 10  1996 NetPresenz dir": folder(b"NetPresenz dir", 1996, 5, 10, precision=DAY),
    b"d [R----F--] supervisor            512       Jan 16 18:53    netware dir": folder(b"netware dir", 2026, 1, 16, 18, 53),
    b"- [R----F--] rhesus             214059       Oct 20 15:27    netware file": file(b"netware file", 214059, 2026, 10, 20, 15, 27),
    b"-[R----F--] rhesus             214059 Oct 20 15:27 hellsoft": file(b"hellsoft", 214059, 2026, 10, 20, 15, 27),
    b"-C--E-----FTP B BCC3I1       7670  1294495 Jan 13 07:42 connect:enterprise": file(b"connect:enterprise", 1294495, 2026, 1, 13, 7, 42),
    b"0100644   500  101   12345    123456789       in numbers": file(b"in numbers", 12345, 1973, 11, 29, 21, 33, 9, precision=1.0),
    b"0040755   500  101   4096    123456789       folder in numbers": folder(b"folder in numbers", 1973, 11, 29, 21, 33, 9, precision=1.0),
    b"-rw-r--r-- 3 slopri devlab 512 71-undated": Fact(b"71-undated", "file", 512, None, DAY),
    b"drwxr-xr-x 2 u g 512 Jan 29 03:26 slashed/": folder(b"slashed", 2026, 1, 29, 3, 26),
}

DATES = {
    b"3 29 03:26": (at(2026, 3, 29, 3, 26), MINUTE),
    b"09-26 2000": (at(2000, 9, 26), DAY),
    b"09-26 13:45": (at(2026, 9, 26, 13, 45), MINUTE),
    b"2005-06-07 21:22": (at(2005, 6, 7, 21, 22), MINUTE),
    b"2005-06-07 21:22:11.123456789 +0200": (at(2005, 6, 7, 19, 22, 11, fraction=123456), 1e-6),
    b"2005-06-07 21:22:11.5 -0330": (at(2005, 6, 8, 0, 52, 11, fraction=500000), 0.1),
    b"1999/10/12 17:12": (at(1999, 10, 12, 17, 12), MINUTE),
    b"24-04-2003 17:12": (at(2003, 4, 24, 17, 12), MINUTE),
    b"2004.07.15  ": (at(2004, 7, 15), DAY),
    b"01-jun-99": (at(1999, 6, 1), DAY),
    b"01 oct 2004": (at(2004, 10, 1), DAY),
    b"29 Jul 02:27": (at(2026, 7, 29, 2, 27), MINUTE),
    b"Oct 08, 2002 09:47": (at(2002, 10, 8, 9, 47), MINUTE),
    b"Jan 29 03:26:11 2004": (at(2004, 1, 29, 3, 26, 11), 1.0),
    b"Apr   4 24:00": (at(2026, 4, 5), MINUTE),
    b"26. Juli, 20:10": (at(2026, 7, 26, 20, 10), MINUTE),
    b"30. Jan., 12:40": (at(2026, 1, 30, 12, 40), MINUTE),
    b"2.   Okt.  2003": (at(2003, 10, 2), DAY),
    b"szept 26 20:10": (at(2026, 9, 26, 20, 10), MINUTE),
    "févr. 26 20:10".encode(): (at(2026, 2, 26, 20, 10), MINUTE),
    "août 26 2010".encode("latin-1"): (at(2010, 8, 26), DAY),
    "Mär  3 2010".encode("latin-1"): (at(2010, 3, 3), DAY),
    "дек 31 2010".encode("koi8-r"): (at(2010, 12, 31), DAY),
    "мая 31 2010".encode("cp1251"): (at(2010, 5, 31), DAY),
    "paź 31 2010".encode("cp1250"): (at(2010, 10, 31), DAY),
    "Ağu 31 2010".encode(): (at(2010, 8, 31), DAY),
    b"4\x8c\x8e 18\x93\xfa 2003\x94\x4e": (at(2003, 4, 18), DAY),
    b"8\xed 17 08:52": (at(2026, 8, 17, 8, 52), MINUTE),
    b"2003   3\xed\xef 20": (at(2003, 3, 20), DAY),
    "2005년  1월  6일".encode(): (at(2005, 1, 6), DAY),
    "6月 3日 2003年".encode(): (at(2003, 6, 3), DAY),
    "8月 17日 20:10".encode(): (at(2026, 8, 17, 20, 10), MINUTE),
}

DOS = {
    b"04-27-00  12:09PM       <DIR>          dos dir": folder(b"dos dir", 2000, 4, 27, 12, 9),
    b"04-06-00  12:47AM                  589 dos file": file(b"dos file", 589, 2000, 4, 6, 0, 47),
    b"05-26-1995  10:57AM               143712 $LDR$": file(b"$LDR$", 143712, 1995, 5, 26, 10, 57),
    b"2002-09-02  18:48       <DIR>          long year": folder(b"long year", 2002, 9, 2, 18, 48),
    b"2002-09-02  19:06                9,730 grouped": file(b"grouped", 9730, 2002, 9, 2, 19, 6),
    b"12-05-96  17:03         <DIR>          ce dir": folder(b"ce dir", 1996, 12, 5, 17, 3),
    b"09-13-10  13:08                   23 Control Panel.lnk": file(b"Control Panel.lnk", 23, 2010, 9, 13, 13, 8),
    b"05-22-97  12:08AM                  5000000000 10 years and under": file(b"10 years and under", 5_000_000_000, 1997, 5, 22, 0, 8),
    b"12-03-96  06:38PM       <DIR>           led by a blank": folder(b" led by a blank", 1996, 12, 3, 18, 38),
    b"12-03-96  06:38PM                   12  led by a blank": file(b" led by a blank", 12, 1996, 12, 3, 18, 38),
    b"20-05-97  03:31PM                  681 day first": file(b"day first", 681, 1997, 5, 20, 15, 31),
    b"20.05.1997  15:31                  681 dotted": file(b"dotted", 681, 1997, 5, 20, 15, 31),
    b" 9/23/2018   2:16 PM  <DIR>         bin": folder(b"bin", 2018, 9, 23, 14, 16),
    b"10/29/2018  11:46 AM    34,359,738,368  win7.img": file(b" win7.img", 34_359_738_368, 2018, 10, 29, 11, 46),
    b"01-24-24  09:15AM       <SYMLINKD>     short [C:\\long]": Fact(b"short", "link", None, at(2024, 1, 24, 9, 15), MINUTE, b"C:\\long"),
    b"36611      A    04-23-103  10:57  os2 file": file(b"os2 file", 36611, 2003, 4, 23, 10, 57),
    b" 1123      A    07-14-99   12:37  os2 old file": file(b"os2 old file", 1123, 1999, 7, 14, 12, 37),
    b"    0 DIR       02-11-103  16:15  os2 dir": folder(b"os2 dir", 2003, 2, 11, 16, 15),
    b"     0           DIR   05-12-97   16:52  Maintenance Desktop": folder(b"Maintenance Desktop", 1997, 5, 12, 16, 52),
}

ODD = {
    b"+i8388621.48594,m825718503,r,s280,up755\teplf file": file(b"eplf file", 280, 1996, 3, 1, 22, 15, 3, precision=1.0),
    b"+i8388621.50690,m824255907,/,\teplf dir": folder(b"eplf dir", 1996, 2, 13, 23, 58, 27, precision=1.0),
    b"+i0.236485,m1023740653,\tnot to be read": Fact(b"not to be read", "other", None, at(2002, 6, 10, 20, 24, 13), 1.0),
    b"206876  Apr 04, 2000 21:06 vshell file": file(b"vshell file", 206876, 2000, 4, 4, 21, 6),
    b"0  Dec 12, 2002 02:13 vshell dir/": folder(b"vshell dir", 2002, 12, 12, 2, 13),
    b"DESIGN1.DOC          11264      05-11-95        14:20": file(b"DESIGN1.DOC", 11264, 1995, 5, 11, 14, 20),
    b"CMT             <DIR>           11-21-94        10:17": folder(b"CMT", 1994, 11, 21, 10, 17),
    b"LOCAL                 <DIR>        Nov 16 1994 17:16": folder(b"LOCAL", 1994, 11, 16, 17, 16),
    b"nortel-file       1014196  06/03/04  Thur.   10:20:03": file(b"nortel-file", 1014196, 2004, 6, 3, 10, 20, 3, precision=1.0),
    b"2048    Feb-28-1998  05:23:30   vxworks dir <DIR>": folder(b"vxworks dir", 1998, 2, 28, 5, 23, 30, precision=1.0),
    b"2048    Feb-28-1998  05:23:30   vxworks file": file(b"vxworks file", 2048, 1998, 2, 28, 5, 23, 30, precision=1.0),
    b"20.20 07/03/29 1026 d-ewrewr 2650 85920 os9 dir": folder(b"os9 dir", 2007, 3, 29, 10, 26),
    b'OBJ1 101 528 6-Apr-07 14:21:18 255, 0 "oooo"': file(b"OBJ1", 528, 2007, 4, 6, 14, 21, 18, precision=1.0),
    b'OBJ2 101 528 6-Apr-07 14:21:18 255,255 "oooo"': file(b"OBJ2", 528, 2007, 4, 6, 14, 21, 18, precision=1.0),
    b"PAY              4019 18.03.06 18:58:16 *STMF      notes.zip": file(b"notes.zip", 4019, 2006, 3, 18, 18, 58, 16, precision=1.0),
    b"QSYS            77824 02/23/00 15:09:55 *DIR as400 dir/": folder(b"as400 dir", 2000, 2, 23, 15, 9, 55, precision=1.0),
    b"QPGMR           36864 23/02/00 14:21:26 *FILE      ITEMS.FILE": file(b"ITEMS.FILE", None, 2000, 2, 23, 14, 21, 26, precision=1.0),
    b"WYOSPT 3420   2003/05/21  1  200  FB      80  8053  PS  DAILY.FILE": file(b"DAILY.FILE", None, 2003, 5, 21, precision=DAY),
    b"WPTA01 3290   2004/03/04  1    3  FB      80  3125  PO  A.LIBRARY": folder(b"A.LIBRARY", 2004, 3, 4, precision=DAY),
    b"NRP004 3390   **NONE**    1   15  NONE     0     0  PO  UNDATED": Fact(b"UNDATED", "dir", None, None, DAY),
    b"TSO005 3390   2005/06/06 213000 U 0 27998 PO MANY": folder(b"MANY", 2005, 6, 6, precision=DAY),
    b"GISBWI 3390   2011/08/25  2 ++++  FB     904 18080  PS  HUGE.FILE": file(b"HUGE.FILE", None, 2011, 8, 25, precision=DAY),
    b"WYOSPT 3420   2003/05/21  1 3 U 6447    6447  PO-E EXTENDED": folder(b"EXTENDED", 2003, 5, 21, precision=DAY),
    b"TSO004 3390   VSAM KEYED": Fact(b"KEYED", "file"),
    b"Migrated\t\t\t\tON.TAPE": Fact(b"ON.TAPE", "file"),
    b"V43525 Tape                                             TAPE.FILE": Fact(b"TAPE.FILE", "file"),
    b"MEMBER1   01.03 2002/09/12 2002/10/11 09:37    11    11     0 KIL001": file(b"MEMBER1", None, 2002, 10, 11, 9, 37),
    b"MODULE1 00B308 000411  00 FO                31    ANY": Fact(b"MODULE1", "file"),
    b"README   TRACE   V        65      107        2 2005-10-04 15:28:42 060191": file(
        b"README.TRACE", None, 2005, 10, 4, 15, 28, 42, precision=1.0
    ),
    b"AUTHORS  DIR - - - 1997-04-02 12:33:20 -": folder(b"AUTHORS", 1997, 4, 2, 12, 33, 20, precision=1.0),
    b"A.DIR;1  1 19-NOV-2001 21:41 [root,root] (RWE,RWE,RE,RE)": folder(b"A", 2001, 11, 19, 21, 41),
    b"FILE;1       155   2-JUL-2003 10:30:13.64": file(b"FILE;1", None, 2003, 7, 2, 10, 30, 13, precision=1.0),
    b"NOTIME.TXT;3    2/8    7-JAN-2000    [IV2_XXX]   (RWED,RWED,RE,)": file(b"NOTIME.TXT;3", None, 2000, 1, 7, precision=DAY),
    b"FRENCH.TXT;1    6/8    15-JUI-2002    PRONAS   (RWED,RWED,RE,)": file(b"FRENCH.TXT;1", None, 2002, 7, 15, precision=DAY),
    b"OTHER;1   [SUMMARY]    1/3     2-AUG-2006 13:05  (RWE,RWE,RE,)": file(b"OTHER;1", None, 2006, 8, 2, 13, 5),
    b"THIRD;1       17-JUN-1994 17:25:37     6308/13     (RWED,RWED,R,)": file(b"THIRD;1", None, 1994, 6, 17, 17, 25, 37, precision=1.0),
    b"COMPLEX;1 2KB 23-SEP-2005 14:57:07.27": file(b"COMPLEX;1", None, 2005, 9, 23, 14, 57, 7, precision=1.0),
    b"Type=file;mOdIfY=20081105165215;size=1234; facts in LIST": file(b"facts in LIST", 1234, 2008, 11, 5, 16, 52, 15, precision=1.0),
}


@pytest.mark.parametrize(("line", "expected"), [*UNIX.items(), *DOS.items(), *ODD.items()])
def test_a_line_is_read(line, expected):
    assert expected == one(line)


@pytest.mark.parametrize(("text", "expected"), DATES.items())
def test_a_date_is_read_in_the_language_and_encoding_of_the_server(text, expected):
    fact = one(b"-rw-r--r--   1 root     sys         8473 " + text + b" name of it")
    assert Fact(b"name of it", "file", 8473, *expected) == fact


def test_a_link_is_split_from_its_target():
    fact = one(b"lrwxrwxrwx   1 u g          7 Jan 25 00:17 here -> usr/bin")
    assert Fact(b"here", "link", None, at(2026, 1, 25, 0, 17), MINUTE, b"usr/bin") == fact


def test_a_link_whose_name_holds_an_arrow_is_split_by_the_length_of_its_target():
    fact = one(b"lrwxrwxrwx   1 u g          3 Jan 25 00:17 a -> b -> end")
    assert (b"a -> b", b"end") == (fact.name, fact.target)


@pytest.mark.parametrize("line", [b"crw-r----- 1 root kmem 0, 27 Jan 30 11:42 kmem", b"prw-r----- 1 root kmem 0 Jan 30 11:42 kmem"])
def test_devices_and_pipes_are_neither_files_nor_folders(line):
    assert Fact(b"kmem", "other", None, at(2026, 1, 30, 11, 42), MINUTE) == one(line)


def test_a_solaris_device_with_numbers_glued_together_is_no_file():
    assert one(b"crw-------   1 root     sys      109,767 Jul  2  2004 pci@1c,600000:devctl").kind == "other"


@pytest.mark.parametrize(
    "line",
    [
        b"zrwxr-xr-x   2 root     root         4096 Mar  2 15:13 unknown kind",
        b"PSMLC133902005/04/041VB2799427998PSfile1.I",
        b"A.;2                    18/18          1-JUL-1998",
        b"README.FTP;1        %RMS-E-PRV, insufficient privilege or file protection violation",
        b"ls: cannot open directory '.': Permission denied",
        b"just a name",
        b"-rw-r--r--",
        b"\x00\xff\xfe",
    ],
)
def test_a_line_that_nobody_would_write_is_reported(line):
    found = one(line)
    assert Unread(line) == found or found.name == b"A.;2"


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"   ",
        b"total 0",
        b"total 123",
        b"total 12K",
        b"Total of 710 blocks in 12 files.",
        b"Total 14 files",
        b"Directory USER1:[TEMP]",
        b"ACA:[ANONYMOUS]",
        b"Volume Unit    Referred Ext Used Recfm Lrecl BlkSz Dsorg Dsname",
        b"Name      VV.MM   Created       Changed      Size  Init   Mod   Id",
        b" Directory of C:\\inetpub",
        b"               6 files           75,978,506,648 bytes",
        b"               3 Dir(s)     22,198,362,112 bytes free",
        b"drwxr-xr-x    2 0        0            4096 Nov 20 13:26 .",
        b"drwxr-xr-x    2 0        0            4096 Nov 20 13:26 ..",
        b"04-27-00  12:09PM       <DIR>          ..",
        b"type=cdir;perm=el; .",
    ],
)
def test_headings_totals_and_the_folder_itself_are_passed_over(line):
    assert [] == read(line)


def test_vms_lines_broken_after_the_name_are_joined():
    text = (
        b"Directory USER1:[TEMP]\n\nUNZIP_AND_ATTACH_FILES.COM;12\n"
        b"                        14/15         24-JUL-2002 14:35:40  [TRANSLATED]    (RWE,RWE,RWE,RE)\n"
        b"SHORT.TXT;1\n170774/170775     24-APR-2003 08:16:15  [FTP_CLIENT,SCOT]      (RWED,RWED,RE,)\n"
        b"ONE.TXT;2    1/15     7-JUL-1997 16:37:45  [POSTWARE,LP]    (RWE,RWE,RWE,RE)\n\nTotal of 3 files, 15/45 blocks\n"
    )
    assert [
        file(b"UNZIP_AND_ATTACH_FILES.COM;12", None, 2002, 7, 24, 14, 35, 40, precision=1.0),
        file(b"SHORT.TXT;1", None, 2003, 4, 24, 8, 16, 15, precision=1.0),
        file(b"ONE.TXT;2", None, 1997, 7, 7, 16, 37, 45, precision=1.0),
    ] == read(text)


def test_a_vms_name_whose_facts_never_come_is_reported():
    assert [Unread(b"LOST.TXT;1")] == read(b"LOST.TXT;1")
    assert [Unread(b"LOST.TXT;1"), file(b"a", 1, 2026, 1, 2, 3, 4)] == read(b"LOST.TXT;1\n-rw-r--r-- 1 u g 1 Jan  2 03:04 a")


def test_mvs_members_without_facts_are_files_below_their_heading_only():
    heading = b"Name      VV.MM   Created       Changed      Size  Init   Mod   Id\n"
    assert [Fact(b"PLAIN1", "file")] == read(heading + b"PLAIN1                                              ")
    assert [Unread(b"PLAIN1")] == read(b"PLAIN1")


@pytest.mark.parametrize(
    ("now", "text", "year"),
    [
        (datetime(2026, 1, 1, 0, 5, tzinfo=UTC), b"Dec 31 23:59", 2025),
        (datetime(2025, 12, 31, 23, 59, tzinfo=UTC), b"Jan  1 00:30", 2026),  # their clock is ahead, or their zone
        (datetime(2025, 12, 31, 23, 59, tzinfo=UTC), b"Jan  2 00:30", 2025),
        (datetime(2026, 3, 1, tzinfo=UTC), b"Feb 29 12:00", 2024),
        (datetime(2024, 2, 28, 20, 0, tzinfo=UTC), b"Feb 29 12:00", 2024),
        (datetime(2103, 3, 1, tzinfo=UTC), b"Feb 29 12:00", 2096),
        (datetime(2038, 1, 20, tzinfo=UTC), b"Jan 19 03:15", 2038),
    ],
)
def test_a_date_without_a_year_is_the_latest_that_is_not_ahead_by_more_than_a_day(now, text, year):
    fact = one(b"-rw-r--r-- 1 u g 1 " + text + b" a", now)
    assert year == datetime.fromtimestamp(fact.modified / 1e6, UTC).year


@pytest.mark.parametrize("text", [b"Feb 30 2020", b"Feb 29 2021", b"Apr 31 12:00", b"Jan 99 2001", b"2020-13-45 10:00"])
def test_an_impossible_date_leaves_the_file_without_a_time(text):
    fact = one(b"-rw-r--r-- 1 u g 7 " + text + b" a")
    assert (b"a", 7, None) == (fact.name, fact.size, fact.modified)


def test_an_hour_that_does_not_exist_leaves_the_file_without_a_time():
    assert one(b"drwxr-xr-x   2 root     99           4096 Feb 23 30:01 late").modified is None


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"type=file;size=3; a", Fact(b"a", "file", 3)),
        (b"Type=file;mOdIfY=20081105165215;SIZE=1234; x y ", file(b"x y ", 1234, 2008, 11, 5, 16, 52, 15, precision=1.0)),
        (b"type=file;modify=20081105165215.250;size=1; a", Fact(b"a", "file", 1, at(2008, 11, 5, 16, 52, 15, fraction=250000), 0.001)),
        (b"type=file;modify=19681105165215;size=1; a", file(b"a", 1, 1968, 11, 5, 16, 52, 15, precision=1.0)),
        (b"type=file;modify=16010101000000;size=1; a", file(b"a", 1, 1601, 1, 1, precision=1.0)),
        (b"type=file;modify=20390101000000;size=1; a", file(b"a", 1, 2039, 1, 1, precision=1.0)),
        (b"type=file;modify=20211301000000;size=1; a", Fact(b"a", "file", 1)),
        (b"type=file;modify=yesterday;size=1; a", Fact(b"a", "file", 1)),
        (b"type=dir;sizd=4096; d", Fact(b"d", "dir")),
        (b"type=OS.unix=slink:/foo; l", Fact(b"l", "link", target=b"/foo")),
        (b"type=OS.UNIX=symlink; l", Fact(b"l", "link")),
        (b"type=OS.unix=chr-13/29; c", Fact(b"c", "other")),
        (b"type=file a name", Fact(b"a name", "file")),
        (b" nothing told", Fact(b"nothing told", "file")),
        (b"type=file; \t tabbed", Fact(b"\t tabbed", "file")),
        (b"size=5;type=file;perm=;UNIX.mode=00;\tadsl 2009-07-22", Unread(b"size=5;type=file;perm=;UNIX.mode=00;\tadsl 2009-07-22")),
        (b"type=file;size=-1; a", Fact(b"a", "file")),
        (b"type=file;size=9223372036854775808; a", Fact(b"a", "file")),
        (b"type=file;size=9223372036854775807; a", Fact(b"a", "file", 2**63 - 1)),
        (b"type=file;size=1,5; a", Fact(b"a", "file")),
        (b"type=file;size=\xd9\xa3; a", Fact(b"a", "file")),
        (b"type=cdir; /home/x", None),
        (b"type=pdir; /home", None),
        (b"type=dir; .", None),
        (b"type=dir; ..", None),
        (b"no facts, no blank in front".replace(b" ", b"_"), Unread(b"no_facts,_no_blank_in_front")),
        (b"", Unread(b"")),
    ],
)
def test_facts_of_mlsd_are_read(line, expected):
    assert expected == mlsd(line)


@given(st.lists(st.binary(max_size=120)))
def test_whatever_comes_is_either_read_or_reported(lines):
    for fact in listed(lines, NOW):
        assert isinstance(fact, Fact | Unread)
    for line in lines:
        assert isinstance(mlsd(line), Fact | Unread | None)


printable = st.binary(min_size=1, max_size=60).filter(lambda name: not {0, 10, 13} & set(name) and name not in (b".", b".."))


@given(printable, st.integers(0, 2**63 - 1), st.datetimes(datetime(1971, 1, 1), datetime(2098, 1, 1)))  # noqa: DTZ001
def test_what_mlsd_tells_comes_back_byte_for_byte(name, size, moment):
    line = b"type=file;size=%d;modify=%s; %s" % (size, moment.strftime("%Y%m%d%H%M%S").encode(), name)
    assert Fact(name, "file", size, at(*moment.timetuple()[:6]), 1.0) == mlsd(line)


@given(printable, st.integers(0, 10**15), st.datetimes(datetime(1971, 1, 1), datetime(2026, 5, 1)))  # noqa: DTZ001
def test_what_ls_tells_comes_back_byte_for_byte(name, size, moment):
    line = b"-rw-r--r--   1 anna     staff %8d %s %s" % (size, moment.strftime("%b %e  %Y").encode(), name)
    assert file(name, size, *moment.timetuple()[:3], precision=DAY) == one(line)


@given(st.datetimes(datetime(2000, 1, 1), datetime(2090, 1, 1)), st.integers(0, 363 * 1440))  # noqa: DTZ001
def test_a_recent_time_is_found_again_whatever_the_day_is(now, minutes):
    now = now.replace(tzinfo=UTC)
    moment = (now - timedelta(minutes=minutes)).replace(second=0, microsecond=0)
    fact = one(b"-rw-r--r-- 1 u g 1 " + moment.strftime("%b %e %H:%M").encode() + b" a", now)
    assert at(*moment.timetuple()[:6]) == fact.modified


@pytest.mark.parametrize("piece", [b" ", b"1 ", b"a ", b"- ", b"Jan 1 ", b"\x80 ", b"1\x80 ", b"-rw-r--r-- 1 u g ", b";1 ", b"12-"])
def test_a_hostile_line_of_sixty_thousand_bytes_takes_no_time(piece):
    line = (b"-rw-r--r-- " + piece * 60_000)[:60_000]
    begun = time.monotonic()
    read(line)
    read(piece * (60_000 // len(piece)))
    mlsd(line)
    assert time.monotonic() - begun < 5
