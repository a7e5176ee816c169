"""How error messages, refusals and promises sound, in English and Russian."""

from __future__ import annotations

import re


def any_of(*phrases: str, flags: re.RegexFlag = re.IGNORECASE) -> re.Pattern[str]:
    """One pattern of alternatives; a straight apostrophe also matches a typographic one."""
    return re.compile("|".join(phrases).replace("'", "['’]"), flags)


SERVER_MESSAGE = any_of(
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
    r"requires more (?:\w+ )?memory",
    r"повторите (?:попытку|запрос)|не удалось \w+ (?:ответ|запрос)",
    r"превышен\w* (?:время ожидания|лимит)",
    r"не удалось (?:получить ответ|подключиться|связаться)",
    r"попробуйте (?:позже|ещё раз|еще раз)|try again later",
)
ERROR_OPENING = any_of(
    r"^\[?(?:error|exception|fatal|warning|ошибка|исключение)\b[^\w]{0,3}[:\]-]",
    r"^(?:error|failed|failure|ошибка)(?: \w+){1,4}:",
    r"^traceback \(most recent call last\)",
    r"^[\w.]{1,80}(?:error|exception):",
    r"^\{\s*\"(?:error|detail|errors)\"\s*:",
    r"^<!doctype html|^<html",
)
ABOUT_ERRORS = any_of(
    r"\b(?:error|exception|fail|bugs?\b|debug|fix|logs?\b|logging|trace|timeout|http|status|html|"
    r"json|prints?\b|output)",
    r"\b(?:ошиб|исключен|сбо[йяе]|баг|исправ|отлад|логи?\b|недоступ|проблем|вывед|напечата)",
)
_UNABLE = r"(?:помочь|выполнить|ответить|предоставить|обсуждать|продолж|обработать|открыть|"
_UNABLE += r"просмотреть|получить доступ|сделать это|дать)"
REFUSAL = any_of(
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
    r"пожалуйста,? (?:уточните|предоставьте|пришлите)",
    r"\bplease (?:provide|share|clarify|specify)\b",
)
# Alone each is part of many good answers; in one short answer together they turn the task down.
INABILITY = any_of(
    r"\bi(?:'m| am)? (?:\w+ )?(?:can't|cannot|can not|couldn't|not able|unable|don't|do not)\b",
    r"\bi (?:have no|lack|(?:would |will )?need)\b",
    r"\bне (?:могу|смогу|имею|способ\w+|располагаю|обладаю|вижу)\b|\bу меня нет\b",
    r"\bмне (?:\w+ )?(?:нужн|необходим|требу)",
)
LACK = any_of(
    r"\b(?:provid|shar|send|past|attach|upload|includ|access|internet|real-time|browse|abilit|"
    r"capab|information|context|just an ai)",
    r"доступ|предостав|пришл|уточн|приложи|прикреп|вложени|интернет|информаци|сведени|контекст",
)
SPEAKS_FOR_OTHERS = any_of(
    r"translat|letter|e-?mail|reply|respond to|refus|declin|apolog|script|dialog|prompt|questions",
    r"перевед|перевод|письм|ответ клиент|отказ|извин|диалог|промпт|скрипт|вопросы",
)
PROMISE = any_of(
    r"^(?:(?:hello|hi|sure|of course|certainly|absolutely|okay|ok|got it|understood|happy to|great|"
    r"здравствуйте|привет|добрый день|конечно|хорошо|понял\w*|разумеется|отлично|принято|да)"
    r"[\s!.,]*)*"
    r"(?:(?:i'll|i will|i'm going to|let me|let's|i can|i'd be happy)\b"
    r"|(?:я\s+)?(?:сейчас|приступаю|займусь|сделаю|начну|подготовлю|напишу|проанализирую|"
    r"готов\w*\s+помочь)"
    r"|(?:давайте|начн[её]м)\b|how can i help|чем (?:я )?могу помочь)",
)
_DOCUMENT = r"(?:article|essay|report|plan|guide|proposal|story|post|specification)"
_DOCUMENT_RU = r"(?:статью|эссе|отч[её]т|план|руководство|инструкци\w*|рассказ|пост|предложение)"
ASKS_MUCH = any_of(
    r"\b(?:detailed|in detail|comprehensive|thorough|step by step)\b",
    r"подробн|развёрнут|развернут|пошагов",
    r"\b(?:write|draft|prepare|create|develop) (?:an?|the) (?:\w+ ){0,3}" + _DOCUMENT + r"\b",
    r"(?:напиши|подготовь|составь|разработай)\w*\s(?:\w+\s){0,3}" + _DOCUMENT_RU,
)
PRODUCES = any_of(
    r"^\W*(?:describe|summari[sz]e|write|explain|create|draft|prepare|compare|analy[sz]e|plan|list|"
    r"опиши|напиши|объясни|составь|подготовь|сравни|проанализируй|кратко|перечисли|расскажи)\b",
)
ASKS_CODE = any_of(
    r"\b(?:write|implement|code)\b.{0,60}"
    r"\b(?:function|class|script|program|query|method|regex|decorator)\b",
    r"(?:напиши|реализуй)\w*\s.{0,60}"
    r"(?:функци|класс|скрипт|программ|запрос|метод|декоратор|код\b)",
    flags=re.IGNORECASE | re.DOTALL,
)
