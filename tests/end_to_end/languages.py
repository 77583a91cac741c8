"""One text a language, with what breaks easily: marks on letters, both directions, joiners, letters beyond the BMP.

Own sentences. `legacy` is a code page that holds the whole text; where none does, it is empty.
"""

import unicodedata
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Language:
    name: str
    text: str
    legacy: str = ""


_VIETNAMESE = "Tôi đọc sách ở thư viện mỗi buổi sáng."

LANGUAGES = (
    Language("arabic", "يفتح مكتب الميناء في الساعة الثامنة صباحًا، ثم تدخل السفن واحدةً بعد أخرى.", "cp1256"),
    Language("arabic_marks", "السَّلَامُ عَلَيْكُمْ — \u202bنصّ English 123 مختلط\u202c \u200fنهاية"),
    Language("hebrew", "המשרד בנמל נפתח בשעה שמונה בבוקר, ואחר כך נכנסות האוניות.", "cp1255"),
    Language("hebrew_points", "בְּרֵאשִׁית בָּרָא (abc) 42 \u200e-\u200f סוף", ""),
    Language("persian", "می\u200cخواهم کتاب\u200cهای تازه را بخوانم."),
    Language("hindi", "बंदरगाह का कार्यालय आठ बजे खुलता है। क्षत्रिय, र\u094d\u200dय, श्री।"),
    Language("thai", "ท่าเรือเปิดเวลาแปดโมงเช้า น้ำใจที่ผู้ใหญ่ให้", "tis-620"),
    Language("chinese", "港务局八点开门。船只进港前须在第十二频道报告。", "gb18030"),
    Language("chinese_traditional", "港務局八點開門，船隻進港前須報告。", "big5"),
    Language("chinese_rare", "𠀀𠮷𡃁 與 㐀"),
    Language("japanese", "港の事務所は八時に開きます。「船」は入港前に報告します。カタカナも。", "euc-jp"),
    Language("japanese_decomposed", unicodedata.normalize("NFD", "がぎぐげご ハ゜パ")),
    Language("korean", "항구 사무소는 여덟 시에 문을 엽니다. 배는 먼저 보고합니다.", "euc-kr"),
    Language("korean_decomposed", unicodedata.normalize("NFD", "한국어 글자")),
    Language("vietnamese", _VIETNAMESE),
    Language("vietnamese_decomposed", unicodedata.normalize("NFD", _VIETNAMESE)),
    Language("greek", "Το γραφείο του λιμανιού ανοίγει στις οκτώ το πρωί.", "iso8859-7"),
    Language("greek_polytonic", "ἐν ἀρχῇ ἦν ὁ λόγος, ᾧ ᾖ"),
    Language("turkish", "İstanbul'da ışıklar söndü; şehir çok güzeldi, ılık rüzgâr vardı.", "cp1254"),
    Language("russian", "Контора порта открывается в восемь часов утра.", "koi8-r"),
    Language("czech", "Příliš žluťoučký kůň úpěl ďábelské ódy.", "cp1250"),
    Language("tamil", "துறைமுக அலுவலகம் எட்டு மணிக்குத் திறக்கும்."),
    Language("georgian", "ნავსადგურის კანტორა რვა საათზე იხსნება."),
    Language("emoji", "Family 👨\u200d👩\u200d👧\u200d👦, flag 🇩🇪🏴\u200d☠️, skin 👍🏽, heart ❤️, keycap 1️⃣."),
    Language("marks", "e\u0301\u0323\u0302 Z\u0351\u036b\u0343a\u0329\u0318l\u0321g\u0327o\u0335 A\u030a ≠ Å"),
    Language("mathematics", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 ∀ε>0 ∃δ: ‖x−y‖<δ"),
)
