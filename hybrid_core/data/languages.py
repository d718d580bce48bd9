"""Language codes: two letters (ISO 639-1), and three (ISO 639-3) for languages that have no two, so that each has one code.

That is the rule of BCP 47. Files of some collections are named by three letters for all languages: `shortest_code`.
"""

from __future__ import annotations

import functools
from importlib import resources

from hybrid_core.errors import RequestError

_CODES = """
aar:aa abk:ab ave:ae afr:af aka:ak amh:am arg:an ara:ar asm:as ava:av aym:ay aze:az bak:ba bel:be bul:bg bis:bi bam:bm
ben:bn bod:bo bre:br bos:bs cat:ca che:ce cha:ch cos:co cre:cr ces:cs chu:cu chv:cv cym:cy dan:da deu:de div:dv dzo:dz
ewe:ee ell:el eng:en epo:eo spa:es est:et eus:eu fas:fa ful:ff fin:fi fij:fj fao:fo fra:fr fry:fy gle:ga gla:gd glg:gl
grn:gn guj:gu glv:gv hau:ha heb:he hin:hi hmo:ho hrv:hr hat:ht hun:hu hye:hy her:hz ina:ia ind:id ile:ie ibo:ig iii:ii
ipk:ik ido:io isl:is ita:it iku:iu jpn:ja jav:jv kat:ka kon:kg kik:ki kua:kj kaz:kk kal:kl khm:km kan:kn kor:ko kau:kr
kas:ks kur:ku kom:kv cor:kw kir:ky lat:la ltz:lb lug:lg lim:li lin:ln lao:lo lit:lt lub:lu lav:lv mlg:mg mah:mh mri:mi
mkd:mk mal:ml mon:mn mar:mr msa:ms mlt:mt mya:my nau:na nob:nb nde:nd nep:ne ndo:ng nld:nl nno:nn nor:no nbl:nr nav:nv
nya:ny oci:oc oji:oj orm:om ori:or oss:os pan:pa pli:pi pol:pl pus:ps por:pt que:qu roh:rm run:rn ron:ro rus:ru kin:rw
san:sa srd:sc snd:sd sme:se sag:sg sin:si slk:sk slv:sl smo:sm sna:sn som:so sqi:sq srp:sr ssw:ss sot:st sun:su swe:sv
swa:sw tam:ta tel:te tgk:tg tha:th tir:ti tuk:tk tgl:tl tsn:tn ton:to tur:tr tso:ts tat:tt twi:tw tah:ty uig:ug ukr:uk
urd:ur uzb:uz ven:ve vie:vi vol:vo wln:wa wol:wo xho:xh yid:yi yor:yo zha:za zho:zh zul:zu
"""
_THREE_TO_TWO = dict(pair.split(":") for pair in _CODES.split())
"""ISO 639-3 code of every language that ISO 639-1 has."""

_MEMBER_OF = dict(
    als="sq", arb="ar", ayr="ay", azj="az", cmn="zh", ekk="et", fuv="ff", gaz="om", gug="gn", khk="mn", kmr="ku", knc="kr", lvs="lv",
    npi="ne", ory="or", pbt="ps", pes="fa", plt="mg", quy="qu", swh="sw", uzn="uz", ydd="yi", zsm="ms",
)  # fmt: skip
"""Codes of single languages by which collections stand for the wider language that ISO 639-1 has a code for."""

ISO_639_1 = frozenset(_THREE_TO_TWO.values())


@functools.cache
def _three_letters() -> frozenset[str]:
    """Codes of languages that have no two-letter one."""
    text = resources.files("hybrid_core.data").joinpath("iso_639_3.txt").read_text(encoding="ascii")
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    return frozenset(code for line in lines for code in line.split())


def is_language(code: str) -> bool:
    """Whether a code is a language's shortest one: of ISO 639-1, else of ISO 639-3 (not `swa` or `swh`, which are `sw`)."""
    return code in ISO_639_1 or (code in _three_letters() and code not in _MEMBER_OF)


def language_problem(code: str) -> str:
    """Why a text is no language code here, and what is; "" if it is one."""
    if is_language(code):
        return ""
    short = shortest_code(code)
    if short is not None:
        return f"{code!r} has a code of two letters, write {short!r}"
    return f"{code!r} is not a code of ISO 639 (two letters, for example en, zh, ar; three if it has no two, for example ceb)"


def check_language(code: str, where: str) -> str:
    """Return the code, or refuse it with the place it was found in."""
    problem = language_problem(code)
    if problem:
        raise RequestError(f"{where}: language {problem}")
    return code


def shortest_code(code: str) -> str | None:
    """The code we use for an ISO 639-3 one: `de` for `deu`, `sw` for `swh`, `ceb` for `ceb`; None if it is none."""
    short = _THREE_TO_TWO.get(code) or _MEMBER_OF.get(code)
    return short or (code if code in _three_letters() else None)
