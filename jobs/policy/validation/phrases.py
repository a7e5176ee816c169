"""How error messages, refusals and promises sound, in English and Russian."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property


class Phrases:
    """Alternatives of a pattern; a straight apostrophe also matches a typographic one.

    Compiled at the first use: all of them take a quarter of a second, and each program would wait.
    """

    def __init__(self, *phrases: str, flags: re.RegexFlag = re.IGNORECASE) -> None:
        self.pattern = "|".join(phrases).replace("'", "['’]")
        self._flags = flags

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        return re.compile(self.pattern, self._flags)

    def search(self, text: str, start: int = 0) -> re.Match[str] | None:
        return self._compiled.search(text, start)

    def match(self, text: str) -> re.Match[str] | None:
        return self._compiled.match(text)

    def findall(self, text: str) -> list[str]:
        return self._compiled.findall(text)

    def finditer(self, text: str) -> Iterator[re.Match[str]]:
        return self._compiled.finditer(text)


MACHINE_MESSAGE = Phrases(
    r"\b(?:bad gateway|service unavailable|gateway time-?out|internal server error)\b",
    r"upstream (?:connect error|request timeout)",
    r"no healthy upstream",
    r"connection (?:refused|reset|error)",
    r"(?:request|read|connection) timed? ?out",
    r"server busy|too many requests|rate limit",
    r"model .{0,60}not found",
    r"out of memory|context length exceeded|max retries exceeded",
    r"all (?:\w+ ){0,3}(?:nodes|backends|models) (?:are )?(?:unavailable|down|busy|offline)",
    r"(?:сервис|сервер|модел\w*|узлы|бэкенд\w*|нейросеть)\s(?:\w+\s){0,3}"
    r"(?:недоступ|не отвеча|перегруж)",
    r"\bno (?:\w+ ){0,2}(?:models?|backends?|nodes?) (?:is |are )?available",
    r"\b(?:http|status|code)\s*[45]\d\d\b|ошибка\s*[45]\d\d\b|\bcall failed\b",
    r"requires more (?:\w+ )?memory|runner (?:process )?has (?:terminated|crashed)|signal: killed",
    r"превышен\w* (?:время ожидания|лимит)",
)
POLITE_MESSAGE = Phrases(
    r"(?:please )?try again (?:later|in a)|something went wrong",
    r"\ban? (?:\w+ )?error (?:has )?occurr?ed",
    r"(?:is|are) (?:currently|temporarily) (?:unavailable|overloaded|down)",
    r"повторите (?:попытку|запрос)|не удалось \w+ (?:ответ|запрос)",
    r"не удалось (?:получить ответ|подключиться|связаться)",
    r"попробуйте (?:позже|ещё раз|еще раз)|произошла (?:\w+ )?ошибка|что-то пошло не так",
)
ERROR_OPENING = Phrases(
    r"^\[?(?:error|exception|fatal|warning|ошибка|исключение)\b[^\w]{0,3}[:\]-]",
    r"^(?:error|failed|failure|ошибка)(?: \w+){1,4}:",
    r"^traceback \(most recent call last\)",
    r"^[\w.]{1,80}(?:error|exception):",
    r"^\{\s*\"(?:error|detail|errors)\"\s*:",
    r"^<!doctype html|^<html",
)
ABOUT_ERRORS = Phrases(
    r"\b(?:error|exception|fail|bugs?\b|debug|fix|logs?\b|logging|trace|timeout|http|status|html|"
    r"json|prints?\b|output|raises?\b|throws?\b|crash|warn|alert|outage|traceback|class\b)",
    r"\b(?:ошиб|исключен|сбо[йяе]|баг|исправ|отлад|логи?\b|недоступ|проблем|вывед|напечата)",
)
MISSING_MATERIAL = Phrases(
    r"\b(?:provid|shar|send|past|attach|upload|includ|see|access|receiv|find|missing)",
    r"предостав|пришл|отправ|вставь|приложи|прикреп|вложени|не вижу|нет доступа|не получил",
)
OUT_OF_REACH = Phrases(
    r"\b(?:attach\w*|enclosed|(?:screenshot|photo|image|picture|file|link|url|"
    r"website)s?|online)\b|https?:",
    r"\b(?:weather (?:in|now|today|tomorrow|like|forecast|for)|stock price|exchange rate|"
    r"news|lottery|right now|today|tomorrow|current(?:ly)?|"
    r"latest|live|real[- ]time|my (?:account|bank|calendar|inbox|emails?|password|order|name))\b",
    r"\b(?:malware|virus|ransomware|phish|keylog|exploit|hack|crack|bomb|explosive|weapon|poison|"
    r"nerve agent|toxi[nc]|firearm|break into|bypass|"
    r"drugs?|meth|kill|suicid|stalk|steal|fake|forg(?:e|ed|ing)|launder|illegal|racist|hate)",
    r"прикреп|вложен|скриншот|фото|картин|файл|ссылк|сайт|онлайн|погод|курс|новост|лотере|сейчас|"
    r"сегодня|завтра|текущ|последн|мо(?:й|его|ю|и) (?:сч[её]т|карт|календар|почт|парол|заказ)",
    r"вирус|вредонос|фишинг|взлом|эксплойт|бомб|взрывч|оружи|яд\b|наркот|убить|суицид|слежк|укра|"
    r"поддел|отмы|незаконн|ненавист",
)
_UNABLE = r"(?:помочь|выполнить|ответить|предоставить|обсуждать|продолж|обработать|открыть|"
_UNABLE += r"просмотреть|получить доступ|сделать это|дать)"
REFUSAL = Phrases(
    r"\b(?:i'm|i am) (?:very |really |so )?(?:sorry|afraid|unable|not able).{0,40}"
    r"\b(?:can't|cannot|unable|not able|assist|help|comply|access|provide|fulfil|complete)",
    r"\bi (?:can't|cannot|won't|will not|am unable to) (?:help|assist|comply|fulfil|answer|"
    r"provide|process|complete|do that|access|view|open|browse|continue|discuss)",
    r"\bi(?:'m| am) (?:just |only )?an? (?:ai|language model)\b",
    r"\bas an? (?:ai|artificial|large language|language)\b.{0,60}\bi\b",
    r"\bi don't have (?:access|the ability|enough (?:context|information))",
    r"\bкак (?:языковая|большая языковая|ии|искусственный|нейросет\w*)\b.{0,60}\bя\b",
    r"не (?:могу|можем|смогу|в состоянии|имею возможности) (?:\w+ )?" + _UNABLE,
    r"у меня нет (?:доступа|возможности)",
    r"\bi (?:don't|do not|can't|cannot) see (?:any|the|an|your) (?:\w+ )?"
    r"(?:attach|file|document|image)",
    r"\bi have no (?:information|data|access|details)",
    r"не вижу (?:вложен|файл|документ)|не (?:обладаю|располагаю|имею) (?:\w+ )?(?:информаци|данны)",
    r"\bi need more (?:information|details|context)",
    r"\b(?:being|i am|i'm) (?:just |only |merely )?an? (?:[\w-]+[ -]){0,2}ai\b",
    r"\bi (?:don't|do not) have the (?:\w+ ){0,2}(?:qualifications?|expertise|authority|capabilit)",
    r"\b(?:i'd|i would) (?:rather not|prefer not)|\bi must decline|\bnot comfortable\b"
    r"|\bagainst my (?:guidelines|policy|policies|programming)",
    r"не люблю менять тему|давайте (?:поговорим|сменим|лучше поговорим) (?:о|об|"
    r"на) (?:ч[её]м|друг)|"
    r"не буду (?:отвечать|обсуждать|выполнять)|вынужден\w* отказать",
    r"пожалуйста,? (?:уточните|предоставьте|пришлите)",
    r"\bplease (?:provide|share|clarify|specify)\b",
)
# Alone each is part of many good answers; in one short answer together they turn the task down.
INABILITY = Phrases(
    r"\bi(?:'m| am)? (?:\w+ )?(?:can't|cannot|can not|couldn't|not able|unable|don't|do not)\b",
    r"\bi (?:have no|lack|(?:would |will )?need)\b",
    r"\bне (?:могу|смогу|имею|способ\w+|располагаю|обладаю|вижу)\b|\bу меня нет\b",
    r"\bмне (?:\w+ )?(?:нужн|необходим|требу)",
)
LACK = Phrases(
    r"\b(?:provid|shar|send|past|attach|upload|includ|access|internet|real-time|browse|abilit|"
    r"capab|information|context|just an ai)",
    r"доступ|предостав|пришл|уточн|приложи|прикреп|вложени|интернет|информаци|сведени|контекст",
)
ASKS_BACK = Phrases(
    r"\b(?:could|can|would|will) you (?:please |kindly )?(?:share|paste|send|provide|"
    r"upload|attach|post|"
    r"supply|include|copy)\b",
    r"\bplease (?:paste|send|upload|attach|post|supply|copy|insert|drop)\b",
    r"\b(?:отправьте|пришлите|вставьте|скиньте|приложите|загрузите|предоставьте|поделитесь|"
    r"отправь|пришли|вставь|скинь|приложи|загрузи)\b",
)
ASKS_FOR_TEXT = Phrases(
    r"\b(?:share|paste|send|provide|upload|attach|post|supply|include|copy|insert|"
    r"drop)\b[^.?!\n]{0,30}"
    r"\b(?:text|code|document|contents?|paragraph|passage|article|sentence|snippet|message)\b",
    r"(?:отправ|пришл|встав|скин|прилож|загруз|предостав|подел)\w*[^.?!\n]{0,30}"
    r"(?:текст|код\b|документ|содержан|фрагмент|абзац|сообщен|стать)",
)
WRITES_TO = Phrases(
    r"\bletters?\b|e-?mail|\breply|respond to|message to|\b(?:ask|request|remind|invite|"
    r"tell|write to)\b",
    r"письм|сообщени|напомн|попрос|напиши (?:ему|ей|им|клиент|поставщик)|ответ клиент",
)
ANSWERS_SOMEBODY = Phrases(
    r"refus|declin|apolog|\breply|respond|translat|rephras|rewrite|paraphras|\bsay\b|"
    r"turn down|reject",
    r"отказ|откаж|извин|ответ|перевед|перевод|перефраз|перепиш|скаж",
)
ABOUT_ITSELF = Phrases(
    r"\b(?:i'm afraid|sorry, but|i have to decline|(?:outside|beyond) (?:of )?(?:what|my)|"
    r"my guidelines|"
    r"(?:isn't|not) something i|as an? (?:\w+ )?ai\b|anything else (?:you|i)|(?:can't|"
    r"cannot) do that)",
    r"языков(?:ая|ой) модел|собственного мнения|разговоры на (?:некоторые|такие) темы|"
    r"не подлежит обсуждению|предмет беседы|сменим (?:тему|предмет)|не научил|"
    r"не предназначен|я не умею|в других источниках|эта тема|данная тема",
)
SPEAKS_FOR_OTHERS = Phrases(
    r"translat|(?<!capital )(?<!upper)(?<!lower)(?<!case )\bletters?\b|e-?mail|"
    r"\breply|respond to|refus|declin|apolog|\bscript\b|dialog|"
    r"prompt",
    r"\bfirst person\b|от первого лица",
    r"^\W*(?:ask|request|remind|invite|tell|inform|notify|urge|beg|message|reject|turn down)\b",
    r"\b(?:message|notice|announcement|banner|polite\b|notification|chat|say\b|phrase|sentence|"
    r"rephrase|rewrite|"
    r"paraphrase|politely|line for|quote|template|ask (?:the|a|our|him|her|them|for)\b)",
    r"перевед|перевод|письм|ответ клиент|отказ|извин|диалог|промпт|скрипт|сообщени|объявлени|"
    r"уведомлени|вежлив|перефраз|перепиши|фраз|шаблон",
    r"^\W*(?:попрос|спрос|напомн|пригла|сообщ|уведом|запрос|откаж|скаж)",
)
ASKS_QUESTIONS = Phrases(
    r"question|survey|interview|\bpoll|\bform\b|quiz|checklist|вопрос|анкет|опрос|интервью"
)
PROMISE = Phrases(
    r"^(?:(?:hello|hi|sure|of course|certainly|absolutely|okay|ok|got it|understood|happy to|great|"
    r"здравствуйте|привет|добрый день|конечно|хорошо|понял\w*|разумеется|отлично|принято|да)"
    r"[\s!.,]*)*"
    r"(?:(?:i'll|i will|i'm going to|let me|let's|i can(?!'t|not)|i'd be happy)\b"
    r"|(?:я\s+)?(?:сейчас|приступаю|займусь|сделаю|начну|подготовлю|напишу|проанализирую|"
    r"готов\w*\s+помочь)"
    r"|(?:давайте|начн[её]м)\b|how can i help|чем (?:я )?могу помочь)",
)
_DOCUMENT = r"(?:article|essay|report|plan|guide|proposal|story|post|specification)"
_DOCUMENT_RU = r"(?:статью|эссе|отч[её]т|план|руководство|инструкци\w*|рассказ|пост|предложение)"
ASKS_MUCH = Phrases(
    r"\b(?:detailed|in detail|comprehensive|thorough|step by step)\b",
    r"подробн|развёрнут|развернут|пошагов",
    r"\b(?:write|draft|prepare|create|develop) (?:an?|the) (?:\w+ ){0,3}" + _DOCUMENT + r"\b",
    r"(?:напиши|подготовь|составь|разработай)\w*\s(?:\w+\s){0,3}" + _DOCUMENT_RU,
)
WORK_VERBS = Phrases(
    r"\b(?:do|help|start|begin|work|prepare|write|explain|describe|analy[sz]e|summari[sz]e|review|"
    r"look|check|create|draft|compare|think|go|get|provide|give|make|take|handle|assist|generate|"
    r"list|outline|translate|research|plan|tackle|dive|proceed)\b",
    r"сейчас|приступ|займусь|сдела|начн|подготов|напиш|проанализ|помо|давайте|перевед|объясн|опиш|"
    r"состав|рассмотр|провер",
)
INTENDS = Phrases(
    r"\b(?:i'll|i will|i'm going to|i am going to|let me|let's)\b",
    r"\b(?:сейчас я|приступ(?:лю|аю)|начн(?:у|ём|ем)|подготовлю|предоставлю|пришлю|составлю|сделаю|"
    r"подберу|рассмотрю|опишу|добавлю|покажу|возьмусь|проверю|напишу|выполню)\b",
)
STARTS_WORK = Phrases(
    r"\b(?:let me|let's|i'll) get started\b|\bi(?:'ll| will) now\b|\bсейчас я\b|приступ(?:лю|аю) к"
)
ANNOUNCES = Phrases(
    r"^(?:(?:sure|of course|certainly|absolutely|конечно|хорошо)[!.,]* )?"
    r"(?:here(?: is| are|'s)|below (?:is|are)|вот|ниже)\b[^\n]{0,200}:\s*$"
)
_EXTENSION = (
    r"(?:csv|xlsx?|txt|md|json|pdf|docx|ya?ml|html|css|sql|sh|py|js|tsx?|java|go|rs|rb|php|"
    r"c(?:pp|s)?|kt)"
)
CLAIMS_A_FILE = Phrases(
    r"\b(?:find|see) attached\b|\battached (?:is|you|please)\b|ready (?:to|for) download",
    r"во вложении|прикрепл[яеё]н|прикрепил|готов к скачиванию",
    r"\b(?:saved|created|written|stored|exported|generated|placed|uploaded)\b[^\n]{0,80}"
    r"(?:\bfile\b|/[\w.-]+/|\w\." + _EXTENSION + r"\b)",
    r"(?:сохран|создан|создал|записан|записал|выгруж|сформирован)\w*[^\n]{0,80}"
    r"(?:файл|/[\w.-]+/|\w\." + _EXTENSION + r"\b)",
)
ASKS_DATA = Phrases(
    r"\b(?:csv|table|spreadsheet|script|function|code|sql|query|json|yaml|config|list|"
    r"write|draft|create)\b",
    r"\bcsv\b|таблиц|скрипт|функци|\bкод\b|запрос|конфиг|список|напиши|составь|подготовь|создай",
)
SAYS_DONE = Phrases(
    r"^(?:the|this) (?:\w+ )?(?:paragraph|text|e-?mail|message|letter|summary|post|answer|"
    r"table|code|list|"
    r"notice|description) (?:above|below|provided)\b",
    r"\btask (?:is |has been )?(?:complete|completed|done)\b|\b(?:i have|i've) (?:replied|"
    r"answered|sent|informed)\b",
    r"задача выполнена|задание выполнено|я (?:ответил|сообщил|отправил|"
    r"написал)\w* (?:клиент|ему|ей|письм)",
)
SAYS_CHANGED = Phrases(
    r"^i(?:'ve| have)? (?:\w+ )?(?:checked|corrected|reviewed|fixed|translated|shortened|"
    r"rewritten|proofread)\b",
    r"^я (?:\w+ )?(?:проверил|исправил|перевел|перевёл|сократил|переписал|отредактировал)",
)
ELIDES = Phrases(
    r"(?:and so on|continue|repeat|etc\.?)[^.\n]{0,20} (?:for|with) (?:the )?(?:remaining|"
    r"rest|other|all)\b",
    r"^[^\w\n]{0,9}(?:и так далее|и т\. ?д\.)[^\w\n]{0,9}$|и так далее (?:для|по) (?:остальн|вс)",
    flags=re.IGNORECASE | re.MULTILINE,
)
THINKS_ALOUD = Phrases(
    r"^\W{0,9}(?:хорошо|итак|ладно|так|okay|ok|alright|so|well|hmm)[,. ]{1,3}"
    r"(?:мне (?:нужно|надо)|пользовател|нужно (?:объясн|напис|состав|подум)|i need to|"
    r"i should|the user|"
    r"let's see|let me (?:think|see))",
)
ASKS_TITLE = Phrases(
    r"title|headline|heading|subject line|\bname\b|slogan|tagline|caption|label|"
    r"заголов|назван|тему письма|слоган|подпись|имя"
)
ASKS_DIALOGUE = Phrases(
    r"dialog|conversation|chat|transcript|script|interview|role-?play|prompt|example|few-?shot|"
    r"диалог|разговор|чат|беседа|интервью|переписк|пример|промпт"
)
WORK_ON_TEXT = Phrases(
    r"\b(?:analy|writ|draft|prepar|creat|compil|generat|go through|turn|summari|structur|outlin|"
    r"provid|present|deliver|put together|have it ready|give me|translat|compar|research|"
    r"start|begin|get started|make sure|add)",
    r"приступ|состав|подбер|подготов|предостав|напиш|проанализ|сделаю|начну|добав|опишу|рассмотр",
)
ASKS_TEMPLATE = Phrases(
    r"template|placeholder|\bform\b|boilerplate|skeleton|outline|fill[- ]in|blanks?\b|variables?\b",
    r"шаблон|заготовк|бланк|форм[аыу]\b|плейсхолдер|образец|болванк",
)
ASKS_TRANSLATION = Phrases(
    r"\btranslat|\b(?:in|into|to) (?:german|french|spanish|italian|polish|chinese|"
    r"japanese|russian|english|turkish|portuguese|dutch|ukrainian|czech)\b",
    r"перевед|перевод|на (?:немецк|английск|французск|испанск|итальянск|русск|польск|"
    r"китайск|турецк|украинск)",
)
RESTATES = Phrases(
    r"\b(?:the (?:user|client|customer|task|request)) (?:would like|wants|asks|is|"
    r"requires|needs)\b",
    r"^\W*(?:so,? )?you (?:would like|want|are asking|need|asked)\b",
    r"^\W*(?:вам )?(?:нужно|требуется|необходимо) \w+|^\W*вы (?:хотите|просите)",
    r"^\W*(?:task|request|question|задача|задание|вопрос|запрос)\W*:",
    r"(?:это|that is|this is) (?:важный|интересный|хороший|отличный|an? (?:important|"
    r"interesting|good|great|"
    r"excellent)) (?:вопрос|question)",
    r"пользовател\w+ (?:хочет|просит|хотел|нужн)|(?:в задании|в запросе) (?:требуется|"
    r"просят|нужно)",
)
COUNT_ASKED = Phrases(
    r"\b(?:give|list|name|write|suggest|provide|generate|propose|find|make|create|produce|come up|"
    r"share|offer|need|want|brainstorm|top)\b|напиши|дай|назови|предложи|приведи|"
    r"перечисли|придумай|"
    r"составь|сформулируй|нужн|выпиши|укажи",
)
OUTPUT_IN = Phrases(
    r"\b(?:answer|reply|respond|write|translate|explain|summari[sz]e|describe|list|"
    r"give|tell|rewrite|"
    r"draft|compose|create|prepare|generate|produce|speak|use)\b|^\W*(?:in|into|to)\b",
    r"ответ|напиш|перевед|перевод|объясн|опиш|перескаж|расскаж|перечисл|составь|подготов|сформулир|"
    r"выведи|перепиш|изложи|сделай",
)
ABOUT_SIGNS = Phrases(
    r"\b(?:operator|symbols?|signs?|character|punctuation|emoji|regex|array|json|brackets?|braces?|"
    r"morse|brainfuck|ascii|html|xml|svg|markup|tags?|dots?|dash|separator|delimiter|"
    r"empty|glyph|stars?|asterisks?|hash(?:es)?|smiley|draw|pattern|board|squares?)\b",
    r"\b(?:оператор|символ|знак|эмодзи|смайл|регуляр|массив|скобк|морзе|тег|точк|тире|"
    r"разделител|пуст|зв[её]зд|реш[её]т|рисуй)",
)
ABOUT_LANGUAGES = Phrases(
    r"translat|language|\bscript\b|alphabet|transliterat|\bword for\b|\bsay\b|pronounc|"
    r"locali[sz]|multilingual|i18n|original title|native|poem|lyrics|quote|proverb|greeting|"
    r"name of",
    r"перевед|перевод|язык|алфавит|транслит|произнос|локализ|пословиц|цитат|назван|стих|оригинал",
    r"chinese|mandarin|cantonese|japan|korea|kanji|hiragana|katakana|hangul|hanzi|"
    r"pinyin|arab|hebrew|"
    r"hindi|thai|greek|russia|ukrain|bulgar|serb|persian|farsi|urdu|tamil|bengal|georgia|armenia|"
    r"cyrillic|emoji|unicode|english|latin|french|german|spanish|italian|polish",
    r"китай|япон|коре|иероглиф|араб|иврит|хинди|тайск|грече|украин|болгар|серб|перси|грузин|армян|"
    r"англ|латин|француз|немец|испан|итальян|польск|кирилл|русск",
)
LISTS = Phrases(r"\b(?:list|find|extract|name|which|report)\b|перечисли|найди|назови|извлеки")
PRODUCES = Phrases(
    r"^\W*(?:describe|summari[sz]e|write|explain|create|draft|prepare|compare|analy[sz]e|plan|list|"
    r"propose|suggest|give|come up|design|develop|outline|make|generate|"
    r"опиши|напиши|объясни|составь|подготовь|сравни|проанализируй|кратко|перечисли|расскажи|"
    r"предложи|придумай|разработай|сделай|дай)\b",
)
ASKS_CODE = Phrases(
    r"\b(?:write|implement|code)\b.{0,60}"
    r"\b(?:function|class|script|program|query|method|regex|decorator)\b",
    r"(?:напиши|реализуй)\w*\s.{0,60}"
    r"(?:функци|класс|скрипт|программ|запрос|метод|декоратор|код\b)",
    flags=re.IGNORECASE | re.DOTALL,
)
