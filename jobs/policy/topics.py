"""What a text is about: words of English and Russian mapped to the topics of a company.

A word list and not a model: an assignment must be quick, repeatable and explainable.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

_WORD = re.compile(r"[^\W_]+(?:[&+#]+[^\W_]*)?", re.UNICODE)
_STEM_CHARS = 5

# Each entry is a beginning of a word, or a whole word where it is marked with "=".
_TOPICS: Mapping[str, str] = {
    "backend": "backend бэкенд бекенд серверн =api =rest =sql postgres баз эндпоинт endpoint"
    " database микросервис microservice django fastapi =redis очеред =queue =queues =py =python"
    " =cache =code =код кода функци function =class =класс retry rate limiter thread поток"
    " schema схем partition refactor рефактор выражени expression =json",
    "frontend": "frontend фронтенд =react =vue =css =html =js javascript typescript верстк браузер"
    " browser интерфейс =ui debounce render",
    "ml": "=ml =mlx машинн нейросет нейрон neural dataset датасет embedding эмбеддинг =llm"
    " =ai =ии machine inference инференс finetun классификатор =model =models =модель =модели"
    " quanti токен token",
    "research": "=r&d =rnd research исследован эксперимент experiment гипотез hypothes научн"
    " =logic логик =valid =invalid вывод верен conclusion proof доказ premise",
    "performance": "performance производительн latency задержк профилир profil benchmark бенчмарк"
    " throughput оптимизац optimi ускор percentile перцентил =slow медлен =ms мс",
    "devops": "devops docker докер kubernetes =k8s деплой deploy =ci =cd инфраструктур infrastruct"
    " мониторинг monitoring terraform nginx =sre reliability incident инцидент сбой сбое outage"
    " =log =logs лог alert алерт runbook backup бэкап restart перезапуск worker воркер mortem",
    "security": "security безопасн уязвим vulnerab шифрован encrypt аутентификац authenti"
    " авторизац permission =xss пентест pentest attack атак login логин пароль password",
    "quality": "=qa тест testing =test =tests regression регресс качеств quality =bug =bugs баг"
    " pytest",
    "design": "design дизайн =ux макет mockup figma логотип logo типограф иллюстрац",
    "marketing": "marketing маркетинг реклам advert =seo =smm бренд brand кампани campaign"
    " аудитор контент content соцсет",
    "sales": "sales продаж =crm customer сделк lead лид воронк funnel",
    "finance": "financ финанс бюджет budget бухгалтер account налог =tax =taxes инвестиц invest"
    " прибыл profit расход стоимост =cost =costs =price =prices цена цену рубл euro евро amount"
    " сумм cents расчет посчита",
    "legal": "legal юрид юрист договор contract право закон =law лиценз licens =gdpr комплаенс"
    " complian",
    "people": "=hr кадр recruit рекрут ваканс vacanc найм hiring сотрудник employee onboarding"
    " адаптац зарплат",
    "product": "product продукт roadmap дорожн требован requirement =mvp backlog бэклог"
    " пользовательск =plan =план планир release релиз выпуск запуск launch checklist чек"
    " stand standup протокол поручен встреч meeting decision решени owner",
    "support": "support поддержк обращен тикет ticket helpdesk жалоб complaint refund возврат"
    " отзыв клиент =faq =help",
    "data": "analytic аналитик =data данны метрик metric дашборд dashboard отчет report =bi"
    " статистик statistic count average средн",
    "strategy": "strateg стратег конкурент competitor рынок рынк market бизнес business swot"
    " партнер",
    "writing": "документац documentation =docs текст статья статью article перевод переведи"
    " translat редактор editor writer копирайт copywrit =readme rewrite перепиши =text =mail письмо"
    " letter proof summary summari friendl тон стиль style wording ошибки commit простым языком",
    "trading": "trading трейд бирж exchange =btc крипт crypto портфел portfolio торгов",
}


def words(text: str) -> tuple[str, ...]:
    """The words of ``text``, lower case, with Russian yo as ye."""
    return tuple(_WORD.findall(text.casefold().replace("ё", "е")))


def stem(word: str) -> str:
    """A beginning that is common to the inflections of a word, in both languages."""
    return word if len(word) <= _STEM_CHARS else word[:_STEM_CHARS]


def topics(text: str) -> dict[str, int]:
    """How often each topic of the company is touched by ``text``."""
    found: dict[str, int] = {}
    for word in words(text):
        for topic in _topics_of_word(word):
            found[topic] = found.get(topic, 0) + 1
    return found


@lru_cache(maxsize=20_000)
def _topics_of_word(word: str) -> tuple[str, ...]:
    return tuple(
        topic
        for topic, (whole, beginnings) in _table().items()
        if word in whole or word.startswith(beginnings)
    )


@lru_cache(maxsize=1)
def _table() -> dict[str, tuple[frozenset[str], tuple[str, ...]]]:
    table = {}
    for topic, entries in _TOPICS.items():
        listed = entries.split()
        whole = frozenset(entry[1:] for entry in listed if entry.startswith("="))
        table[topic] = (whole, tuple(entry for entry in listed if not entry.startswith("=")))
    return table
