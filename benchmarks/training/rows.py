"""Questions about table rows, made by rule: most of what companies write down as tables is asked for cell by cell.

Rows are written as the parser writes them (``indexing/parsing``): "machine: lathe; power: 4 kW; price: 900 €". Two
kinds: the tables of TAT-QA's articles of the part "train", and tables whose words and values are drawn at random from
the lists below, in English and French. The lists share nothing with the example handbook on purpose: it is asked
golden questions. A quarter of the questions has no answer: a row, or a column, of another table.
"""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING

from benchmarks.training.data import Span, part_of, rows

if TYPE_CHECKING:
    from pathlib import Path

Cells = list[tuple[str, str]]  # column name and value, first the row's own name

_PEOPLE = [
    "Moreau", "Lefort", "Girard", "Faure", "Blin", "Carlier", "Perret", "Hamel", "Okafor", "Lindqvist", "Haddad",
    "Novak", "Petrov", "Silva", "Kimura", "Walsh", "Brandt", "Costa", "Nilsson", "Farrell", "Osman", "Varga", "Dumas",
    "Tessier",
]  # fmt: skip
_TOWNS = [
    "Nantes", "Lille", "Turin", "Porto", "Gdańsk", "Bristol", "Cardiff", "Rennes", "Dijon", "Metz", "Ghent", "Basel",
    "Oslo", "Graz", "Cork", "Derby", "Pau", "Brest", "Toulon", "Limoges", "Verona", "Bilbao", "Tampere", "Malmö",
]  # fmt: skip
_KINDS: dict[str, tuple[tuple[str, str, tuple[str, ...]], ...]] = {
    "en": (
        ("machine", "lathe|drill press|band saw|laser cutter|paint booth|forklift|compressor|conveyor|kiln|press brake",
         ("power=kw", "weight=kg", "purchase price=money", "operator=person", "next inspection=date", "hall=letter")),
        ("vehicle", "small van|estate car|electric scooter|flatbed truck|minibus|tractor|refrigerated lorry|cargo bike",
         ("seats=small", "range=km", "daily rate=money", "garage=town", "keeper=person", "fuel=fuel")),
        ("medicine", "aspirin|ibuprofen|amoxicillin|paracetamol|cortisone|insulin|loratadine|omeprazole",
         ("dose=mg", "interval=hours", "shelf life=months", "storage=storage", "prescription=yesno")),
        ("course", "first steps in welding|public speaking|spreadsheet basics|forklift licence|food hygiene|Spanish A2",
         ("duration=days", "fee=money", "teacher=person", "places=small", "starts=date", "town=town")),
        ("species", "red kite|barn owl|grey heron|kingfisher|stone marten|otter|pine marten|beaver",
         ("wingspan or length=cm", "weight=kg", "protected since=year", "population=big", "region=town")),
        ("licence", "drawing tool|mail gateway|backup suite|design studio|map editor|ledger software|chat server",
         ("users=big", "yearly cost=money", "expires=date", "owner=person", "support until=year")),
        ("train", "R12|IC 45|N7|S3|EX 201|L88",
         ("leaves=time", "arrives=time", "platform=small", "stops=small", "terminus=town", "first class=yesno")),
        ("parcel", "envelope|small box|medium box|large box|tube|pallet|half pallet",
         ("maximum weight=kg", "price=money", "delivery=days", "insured up to=money", "tracking=yesno")),
    ),
    "fr": (
        ("machine", "tour|perceuse|scie à ruban|découpe laser|cabine de peinture|compresseur|four|presse plieuse",
         ("puissance=kw", "poids=kg", "prix d’achat=money", "opérateur=person", "prochain contrôle=date",
          "atelier=letter")),
        ("véhicule", "fourgonnette|break|scooter électrique|camion plateau|minibus|tracteur|vélo cargo|autocar",
         ("places=small", "autonomie=km", "tarif journalier=money", "garage=town", "gardien=person", "carburant=fuel")),
        ("médicament", "aspirine|ibuprofène|amoxicilline|paracétamol|cortisone|insuline|oméprazole",
         ("dose=mg", "intervalle=hours", "durée de conservation=months", "stockage=storage", "ordonnance=yesno")),
        ("formation", "soudage|prise de parole|bases du tableur|permis cariste|hygiène alimentaire|espagnol A2",
         ("durée=days", "tarif=money", "formateur=person", "places=small", "début=date", "ville=town")),
        ("espèce", "milan royal|chouette effraie|héron cendré|martin-pêcheur|fouine|loutre|castor",
         ("longueur=cm", "poids=kg", "protégée depuis=year", "population=big", "région=town")),
        ("licence", "outil de dessin|passerelle de messagerie|sauvegarde|éditeur de cartes|logiciel comptable",
         ("utilisateurs=big", "coût annuel=money", "expiration=date", "propriétaire=person",
          "support jusqu’en=year")),
        ("train", "R12|IC 45|N7|S3|EX 201|L88",
         ("départ=time", "arrivée=time", "quai=small", "arrêts=small", "terminus=town", "première classe=yesno")),
        ("colis", "enveloppe|petite boîte|boîte moyenne|grande boîte|tube|palette|demi-palette",
         ("poids maximal=kg", "prix=money", "délai=days", "assuré jusqu’à=money", "suivi=yesno")),
    ),
}  # fmt: skip
_MONTHS = {
    "en": [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ],
    "fr": [
        "janvier",
        "février",
        "mars",
        "avril",
        "mai",
        "juin",
        "juillet",
        "août",
        "septembre",
        "octobre",
        "novembre",
        "décembre",
    ],
}
_UNITS = {"kw": "kW", "kg": "kg", "km": "km", "cm": "cm", "mg": "mg"}
_COUNTED = {
    "en": {"days": "days", "hours": "hours", "months": "months"},
    "fr": {"days": "jours", "hours": "heures", "months": "mois"},
}
_ONE_OF = {
    "en": {"yesno": "yes|no", "fuel": "diesel|petrol|electric|gas", "storage": "cool and dry|in the fridge|dark room"},
    "fr": {"yesno": "oui|non", "fuel": "diesel|essence|électrique|gaz", "storage": "au sec|au frais|à l’abri du jour"},
}  # fmt: skip
_ASKING = {
    "en": (
        "What is the {column} of the {name}?", "What {column} does the {name} have?", "{name}: {column}?",
        "{column} of {name}", "Tell me the {column} for {name}.", "For the {kind} {name}, what is the {column}?",
        "I need the {column} of a {name}, what is it?", "What is given as {column} for {name}?",
    ),
    "fr": (
        "Quel est le {column} pour {name} ?", "{column} de {name} ?", "Quelle est la valeur de {column} pour {name} ?",
        "Pour {name}, quel {column} ?", "Je cherche le {column} de : {name}.", "{name} : {column} ?",
        "Quel {column} est prévu pour {name} ?", "Quelle {column} pour {name} ?",
    ),
}  # fmt: skip
_BACKWARDS = {
    "en": ("Which {kind} has a {column} of {value}?", "{column} {value}: which {kind}?", "{column} {value}, {kind}?"),
    "fr": ("Quel {kind} a pour {column} {value} ?", "{column} {value} : quel {kind} ?", "{column} {value}, {kind} ?"),
}  # fmt: skip
_OF_FIGURES = (
    "What was {name} in {column}?", "How much was {name} in {column}?", "What were the {name} for {column}?",
    "{name} {column}", "What is the amount of {name} in {column}?", "What did {name} come to in {column}?",
)  # fmt: skip


def row_questions(folder: Path, count: int, seed: int) -> list[Span]:
    """Return *count* questions about rows: half of TAT-QA's tables, a quarter each in English and French."""
    generator = random.Random(seed)
    found: list[Span] = []
    tables = [table for table in _tatqa(folder, "train").values() if len(table) > 2]
    while len(found) < count // 2:
        found += _asked(generator.choice(tables), "en", "", generator, _OF_FIGURES, generator.choice(tables))
    while len(found) < count:
        language = generator.choice(("en", "fr"))
        kind, table = _drawn(language, generator)
        _, other = _drawn(language, generator)
        found += _asked(table, language, kind, generator, _ASKING[language], other)
    return found[:count]


def _asked(
    table: list[Cells], language: str, kind: str, generator: random.Random, asking: tuple[str, ...], other: list[Cells]
) -> list[Span]:
    """Return one to three questions about one stretch of *table*."""
    first = generator.randrange(max(1, len(table) - 3))
    shown = table[first : first + generator.randint(3, 9)]
    lines, places, at = [], {}, 0
    for number, cells in enumerate(shown):
        line = _line(cells)
        offset = at
        for index, (column, value) in enumerate(cells):
            start = offset + (len(column) + 2 if column else 0)
            places[number, index] = (start, start + len(value))
            offset = start + len(value) + 2
        lines.append(line)
        at += len(line) + 1
    context = "\n".join(lines)
    found = []
    for _ in range(generator.randint(1, 3)):
        row = generator.randrange(len(shown))
        cell = generator.randrange(1, len(shown[row]))
        name, (column, value) = shown[row][0][1], shown[row][cell]
        span: tuple[tuple[int, int], ...] = (places[row, cell],)
        chance = generator.random()
        alike = sum(cells[cell : cell + 1] == [(column, value)] for cells in shown)
        if chance < 0.25:
            away = generator.choice(other)
            if generator.random() < 0.6:
                name = away[0][1]
            else:
                column = generator.choice(away[1:])[0]
            if any(cells[0][1] == name and any(c == column for c, _ in cells) for cells in shown):
                continue
            span = ()
        elif kind and chance < 0.4 and alike == 1:
            question = generator.choice(_BACKWARDS[language]).format(kind=kind, column=column, value=value)
            found.append(Span("rows", language, question, context, (places[row, 0],)))
            continue
        question = generator.choice(asking).format(kind=kind, name=name, column=column)
        found.append(Span("rows", language, question[:1].upper() + question[1:], context, span))
    return found


def _drawn(language: str, generator: random.Random) -> tuple[str, list[Cells]]:
    """Return the name of a kind of thing, and a table of such things."""
    kind, names, attributes = generator.choice(_KINDS[language])
    columns = generator.sample(attributes, generator.randint(2, len(attributes)))
    things = names.split("|")
    chosen = generator.sample(things, generator.randint(3, len(things)))
    table = []
    for thing in chosen:
        cells = [(kind, thing)]
        for column in columns:
            name, _, of = column.partition("=")
            if generator.random() < 0.93:  # a blank cell is left out, as the parser does
                cells.append((name, _value(of, language, generator)))
        if len(cells) > 1:
            table.append(cells)
    return kind, table or [[(kind, things[0]), (columns[0].partition("=")[0], "1")]]


def _value(kind: str, language: str, generator: random.Random) -> str:
    """Return a value drawn at random."""
    number = generator.randint(1, 60)
    if kind in _UNITS:
        return f"{number if generator.random() < 0.7 else round(number / 7, 1)} {_UNITS[kind]}"
    if kind in _COUNTED[language]:
        return f"{number} {_COUNTED[language][kind]}"
    if kind in _ONE_OF[language]:
        return generator.choice(_ONE_OF[language][kind].split("|"))
    if kind == "date":
        month = generator.choice(_MONTHS[language])
        return f"{generator.randint(1, 28)} {month}" + (f" {generator.randint(2023, 2031)}" if number > 30 else "")
    drawn = {
        "money": lambda: generator.choice(("{} €", "{} EUR", "£{}", "{} GBP", "${}")).format(number * 5),
        "person": lambda: f"{generator.choice('ABCDEFGHJKLMNPRST')}. {generator.choice(_PEOPLE)}",
        "town": lambda: generator.choice(_TOWNS),
        "time": lambda: f"{generator.randint(5, 22)}:{generator.randint(0, 59):02d}",
        "year": lambda: str(generator.randint(1950, 2035)),
        "small": lambda: str(generator.randint(1, 40)),
        "big": lambda: str(generator.randint(40, 9000)),
        "letter": lambda: generator.choice("ABCDEFGH"),
    }
    return drawn[kind]()


def table_documents(folder: Path, part: str, seed: int) -> tuple[dict[str, str], list[tuple[str, Span]]]:
    """Return TAT-QA's tables of *part* as documents by name, and a few questions about each, with its name.

    A question without an answer there asks for a row of another table.
    """
    generator = random.Random(seed)
    tables = {name: table for name, table in _tatqa(folder, part).items() if len(table) > 2}
    documents, questions = {}, []
    for name, table in tables.items():
        documents[name] = "\n".join(_line(cells) for cells in table)
        other = generator.choice([each for each in tables.values() if each is not table])
        asked = [each for _ in range(3) for each in _asked(table, "en", "", generator, _OF_FIGURES, other)]
        questions += [(name, each) for each in {each.question: each for each in asked}.values()]
    return documents, questions


def _line(cells: Cells) -> str:
    return "; ".join(f"{column}: {value}" if column else value for column, value in cells)


def _tatqa(folder: Path, part: str) -> dict[str, list[Cells]]:
    """Return the tables of TAT-QA's articles of *part* by article; the column of the rows' names has none itself."""
    found = {}
    for row in rows(folder / "tatqa" / "norm" / "corpus.jsonl"):
        if part_of("tatqa", row["id"]) != part:
            continue
        lines = [
            [cell.strip() for cell in line.strip("| ").split(" | ")]
            for line in row["text"].split("\n")
            if line.startswith("|")
        ]
        lines = [[cell.strip("| ") for cell in line] for line in lines]
        header = next(
            (n for n, line in enumerate(lines) if len(re.findall(r"\b(?:19|20)\d\d\b", " ".join(line))) > 1), None
        )
        if header is None:
            continue
        names = [cell for cell in lines[header] if cell]
        table = [
            [("", line[0]), *zip(names, line[1:], strict=True)]
            for line in lines[header + 1 :]
            if len(line) == len(names) + 1 and line[0] and all(line)
        ]
        found[row["id"]] = [cells for cells in table if len({value for _, value in cells}) == len(cells)]
    return found
