"""Names of months, in the languages and encodings that servers use."""

from __future__ import annotations

_ENCODINGS = ("utf-8", "latin-1", "iso8859-2", "iso8859-9", "cp1250", "cp1251", "koi8-r", "cp437", "cp850", "cp852", "cp866")

# One line per month: English, German, French, Spanish, Italian, Portuguese, Dutch, Danish, Norwegian, Swedish, Finnish, Polish, Czech,
# Hungarian, Turkish, Russian.
_NAMES = """
jan january januar jänner jän janv janvier ene enero gen gennaio \
janeiro januari tammi tammikuu sty stycznia styczeń led leden ledna január oca ocak янв января январь
feb february februar febr feber fév févr février feb febrero \
febbraio fev fevereiro februari helmi helmikuu lut lutego luty úno únor února február şub şubat фев февр февраля февраль
mar march mär märz mrz maerz mars marzo março mrt maart marts \
maalis maaliskuu marca marzec bře březen března márc március mart мар марта март
apr april avr avril abr abril aprile huhti huhtikuu kwi kwietnia \
kwiecień dub duben dubna ápr április nis nisan апр апреля апрель
may mai mayo mag maggio maio mei maj touko toukokuu maja kvě \
květen května máj május mayıs май мая
jun june juni juin junio giu giugno junho kesä kesäkuu cze czerwca \
czerwiec čen červen června jún június haz haziran июн июня июнь
jul july juli jui juil juillet julio lug luglio julho heinä heinäkuu \
lip lipca lipiec čec červenec července júl július tem temmuz июл июля июль
aug august aoû août aou ago agosto augustus augusti elo elokuu \
sie sierpnia sierpień srp srpen srpna augusztus ağu ağustos авг августа август
sep sept september septembre septiembre set sett settembre setembro \
syys syyskuu wrz września wrzesień zář září szept szeptember eyl eylül сен сент сентября сентябрь
oct october okt oktober octobre octubre ott ottobre out outubro \
loka lokakuu paź października październik říj říjen října október eki ekim окт октября октябрь
nov november novembre noviembre novembro marras marraskuu lis \
listopada listopad listopadu kas kasım ноя нояб ноября ноябрь
dec december dez dezember déc décembre dic diciembre dicembre \
dezembro des desember joulu joulukuu gru grudnia grudzień pro prosinec prosince ara aralık дек декабря декабрь
"""


def _spellings() -> dict[bytes, int]:
    names: dict[bytes, int] = {}
    for number, line in enumerate(_NAMES.strip().splitlines(), 1):
        for name in line.split():
            for encoding in _ENCODINGS:
                for spelled in (name, name[:1].upper() + name[1:], name.upper()):
                    raw = spelled.encode(encoding, "replace").lower()
                    if b"?" not in raw:
                        names.setdefault(raw, number)
    return names


MONTHS = _spellings()
"""The number of a month by its name in lower-case ASCII, other letters as they come."""
