"""Trains Model_ZOO/algoexample_model_v1.json and writes the sentences that its tests hold it to.

    python3 scripts/models/train_algoexample.py

Standard library only; the same seed gives the same files. The sentences are made from the patterns and names below.
Those held out share neither pattern nor name with those trained on, so that the accuracy printed says something about
sentences the model has never seen.
"""
import json
import os
import random
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, ROOT)
from algopkg.AlgoExample.tagger import OUTSIDE, Tagger, features, tokenize  # noqa: E402

MODEL = os.path.join(ROOT, "Model_ZOO", "algoexample_model_v1.json")
HELD_OUT = os.path.join(ROOT, "test", "algopkg", "data", "algoexample_heldout.json")
SEED = 20
TRAINED_ON = 5000
HELD_OUT_ROWS = 200
ROUNDS = 6
INVENTED = 0.8
LABELS = ("person", "place", "date", "amount")
TAGS = [OUTSIDE] + [begin + label for label in LABELS for begin in ("B-", "I-")]
MONTHS = ("January February March April May June July August September October November December").split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()

TRAIN = {
    "first": "Anna Ben Chloe David Elena Farid Grace Hugo Ines Jonas Kofi Laura Marco Nadia Oscar Priya Quentin Rosa "
             "Stefan Tara Umar Vera Wei Yuki Zoe Peter Sofia Amir Julia Tom".split(),
    "last": "Weber Okafor Rossi Tanaka Dubois Novak Hansen Silva Moreau Schmidt Khan Lindgren Petrov Costa Murphy Ito "
            "Fischer Haddad Larsen Mensah Keller Duarte Nguyen Bauer Conti Smith".split(),
    "place": "Paris|Berlin|Osaka|Nairobi|New York|Lisbon|Oslo|Madrid|San Diego|Prague|Dublin|Vienna|Lima|Cape Town|"
             "Chicago|Milan|Geneva|Warsaw|Porto|Hamburg|Los Angeles|Athens|Kyoto|Boston|Bergen|Sydney".split("|"),
    "paid": "paid sent lent owed offered promised wired gave".split(),
    "got": "won lost saved raised earned borrowed spent received found".split(),
    "went": "flew drove moved came walked returned went sailed".split(),
    "met": "met saw called helped thanked visited invited heard".split(),
    "thing": "book ticket table car letter lamp window report laptop coat bridge cake map phone garden roof sofa".split(),
    "things": "people books hours tickets minutes seats boxes lamps pages tables students bags floors".split(),
    "reason": "because it rained|as planned|with friends|after lunch|in winter|at noon|in time|for work|by train".split("|"),
    "pattern": """
        {person} {paid} {person} {amount} for the {thing} in {place} on {date}.
        {person} {paid} {amount} to {person} {date}.
        {person} {went} from {place} to {place} {date}.
        {person} {went} to {place} with {person}.
        {person} {met} {person} in {place}.
        We {met} {person} near {place} {date}.
        On {date} we {met} {person}.
        They {met} {person} and {person} {reason}.
        I {met} {person} in {place} on {date}.
        We {met} {count} {things} {reason}.
        She {went} to {place} {reason}.
        We {went} to {place} {reason}.
        He {went} from {place} to {place} with {person}.
        {person} {got} {amount} in {place}.
        {person} {got} {count} {things} {reason}.
        They {got} {count} {things} for {amount}.
        The {thing} from {place} was sent by {person}.
        The {thing} of {person} costs {amount}.
        The {thing} was {amount} and the {thing} was {amount}.
        The {thing} and {count} {things} arrived {date}.
        The {thing} in {place} opens at {count} and closes at {count}.
        The {thing} was finished {date} and costs {amount}.
        The {thing} near {place} was repaired by {person} until {date}.
        The {thing} of {amount} is due on {date}.
        The {thing} starts on {date} and ends {date}.
        A {thing} in {place} is {amount} if you book until {date}.
        A {thing} for {count} {things} is too much.
        Please send {amount} to {person} before {date}.
        Please send the {thing} to {person} in {place}.
        Please call {person} from {place} {date}.
        Please keep {count} {things} for {person}.
        Please ask {person} about the {thing} before {date}.
        Today's {thing} was {amount}.
        Today's {thing} in {place} was late.
        Tonight's {thing} is for {person}.
        Did {person} bring the {thing} on {date}?
        Did the {count} {things} come from {place} {date}?
        Did the {thing} arrive {date}?
        My sister {person} was born in {place} on {date}.
        My friend {person} {went} to {place} on {date}.
        Our {thing} and {count} {things} are in {place}.
        {amount} were {paid} to {person} on {date}.
        {amount} is enough for the {thing}.
        {amount} for a {thing} in {place} is fair.
        {date} is a holiday in {place}.
        {date} {person} {got} the {thing}.
        On {date}, {person} {went} to {place}.
        In {place}, a {thing} is about {amount}.
        {place} is colder than {place} {reason}.
        Call {person} about the {amount} we owe.
        Dear {person}, your {thing} of {amount} will arrive {date}.
        Nobody came {date}.
        Come to {place} before {date}, then call {person}.
        {person} {paid} {count} {things} to {person}, and {person} {got} {amount}.
        {person} {got} {count} {things} in {place} for {amount}.
        {person} {paid} {amount} for {things}, {things} and a {thing}.
        Until {date}, {place} had a {thing}.
        It took {count} {things} to reach {place}.
        Room {count} was booked by {person} from {date}.
        Rent in {place} went up by {amount} since {date}.
        The Museum of Art sells {count} {things} at {count}.
        Mr {last} and Mrs {last} {went} to {place}.
        Mrs {last} {got} a {thing} for {count} {things}.
        Please tell Dr {last} that the {thing} is {amount}.
        """,
}
HELD = {
    "first": "Marta Liam Aisha Viktor Noor Emil Carla Diego Freya Samir".split(),
    "last": "Jensen Romano Adeyemi Kowalski Suzuki Lefevre Brandt Santos Nilsson Farah".split(),
    "place": "Rome|Toronto|Valencia|Cairo|San Jose|Zurich|Accra|Leipzig|Seville|Buenos Aires".split("|"),
    "paid": "transferred returned".split(),
    "went": "travelled cycled".split(),
    "met": "phoned interviewed".split(),
    "thing": "chair guitar workshop repair dinner bicycle invoice".split(),
    "things": "chairs guests meals apples teachers".split(),
    "reason": "in spring|before dinner|by bus".split("|"),
    "pattern": """
        {person} {paid} {amount} to {person} on {date}.
        We {went} from {place} to {place} with {person}.
        {person} will be in {place} until {date}.
        The {thing} cost {amount} and was ready {date}.
        Yesterday's {thing} of {amount} was paid by {person}.
        Please book a {thing} in {place} for {person} from {date}.
        {person} bought {count} {things} in {place} for {amount}.
        The {thing} in {place} begins on {date} and costs {amount}.
        On {date} they {met} {person} in {place}.
        Did the {count} {things} leave {place} {date}?
        {amount} is too much for a {thing} in {place}.
        Write to {person} before {date}, please.
        My brother {person} {went} from {place} to {place} on {date}.
        Mrs {last} ordered a {thing} for {count} {things} {reason}.
        The {thing} in {place} opens at {count} and sells {things}.
        """,
}


def make_date(rng):
    day, month, year = rng.randint(1, 28), rng.choice(MONTHS), rng.randint(2015, 2030)
    suffix = {1: "st", 2: "nd", 3: "rd"}.get(day % 10 if day not in (11, 12, 13) else 0, "th")
    return rng.choice([
        "{} {}".format(day, month), "{} {} {}".format(day, month, year), "{} {}, {}".format(month, day, year),
        "{} {}{}".format(month, day, suffix), "{:04d}-{:02d}-{:02d}".format(year, rng.randint(1, 12), day),
        "{:02d}/{:02d}/{}".format(day, rng.randint(1, 12), year), "next " + rng.choice(DAYS), "last " + rng.choice(DAYS),
        rng.choice(DAYS), "tomorrow", "{} {}".format(month, year),
    ])


def make_amount(rng):
    number = rng.choice(["{}".format(rng.randint(2, 999)), "{:,}".format(rng.randint(1000, 90000)),
                         "{}.{:02d}".format(rng.randint(1, 500), rng.randint(0, 99))])
    return rng.choice([
        rng.choice("$€£") + number, number + " " + rng.choice(["euros", "dollars", "pounds", "EUR", "USD", "GBP"]),
        "{} million {}".format(rng.randint(2, 90), rng.choice(["euros", "dollars"])),
    ])


def fill(rng, source, slot):
    if slot == "date":
        return make_date(rng)
    if slot == "amount":
        return make_amount(rng)
    if slot == "count":
        return str(rng.randint(2, 60))
    if slot == "person":
        return word(rng, source, "first") + (" " + word(rng, source, "last") if rng.random() < 0.6 else "")
    return word(rng, source, slot)


def word(rng, source, slot):
    """One of the words for a slot; while training often an invented one, so that the model learns from what is around."""
    chosen = rng.choice(source[slot])
    if source is not TRAIN or rng.random() > INVENTED or " " in chosen:
        return chosen
    invented = "".join(rng.choice(["b", "d", "k", "l", "m", "n", "r", "s", "t", "v"]) + rng.choice("aeiou")
                       for _ in range(rng.randint(2, 3))) + rng.choice(["", "n", "r", "s", "tt"])
    return invented.capitalize() if chosen[0].isupper() else invented


def make_sentence(rng, source):
    """A pattern with its slots filled: the text, and its entities as (label, start, end)."""
    pattern = rng.choice([line.strip() for line in source["pattern"].strip().split("\n")])
    text, entities = "", []
    for piece in re.split(r"(\{\w+\})", pattern):
        slot = piece[1:-1] if piece.startswith("{") else None
        filled = piece if slot is None else fill(rng, source, slot)
        if filled and not text:
            filled = filled[0].upper() + filled[1:]
        label = "person" if slot == "last" else slot
        if label in LABELS:
            entities.append({"label": label, "start": len(text), "end": len(text) + len(filled), "text": filled})
        text += filled
    return {"text": text, "entities": entities}


def tags_of(row):
    """The words of a sentence and their right tags."""
    spans = tokenize(row["text"])
    tags = []
    for start, end in spans:
        inside = [entity for entity in row["entities"] if entity["start"] <= start and end <= entity["end"]]
        begins = "B-" if inside and inside[0]["start"] == start else "I-"
        tags.append(begins + inside[0]["label"] if inside else OUTSIDE)
    return [row["text"][start:end] for start, end in spans], tags


def train(rows, rng):
    """Averaged perceptron: each mistake moves the weights of what was seen, and the average over time is kept."""
    weights, totals, changed_at = {}, {}, {}
    tagger = Tagger(TAGS, weights)
    time = 0

    def move(feature, tag, step):
        key = (feature, tag)
        by_tag = weights.setdefault(feature, {})
        totals[key] = totals.get(key, 0.0) + (time - changed_at.get(key, 0)) * by_tag.get(tag, 0.0)
        changed_at[key] = time
        by_tag[tag] = by_tag.get(tag, 0.0) + step

    examples = [tags_of(row) for row in rows]
    for _ in range(ROUNDS):
        rng.shuffle(examples)
        for words, right in examples:
            previous_tag = OUTSIDE
            for index, tag in enumerate(right):
                time += 1
                seen = features(words, index, previous_tag)
                guess = tagger.best_tag(seen, previous_tag)
                if guess != tag:
                    for feature in seen:
                        move(feature, tag, 1.0)
                        move(feature, guess, -1.0)
                previous_tag = tag
    averaged = {}
    for (feature, tag), total in sorted(totals.items()):
        total += (time - changed_at[(feature, tag)]) * weights[feature][tag]
        value = round(total / time, 2)
        if abs(value) >= 0.15:
            averaged.setdefault(feature, {})[tag] = value
    return Tagger(TAGS, averaged)


def main():
    rng = random.Random(SEED)
    tagger = train([make_sentence(rng, TRAIN) for _ in range(TRAINED_ON)], rng)
    held_out = [make_sentence(rng, HELD) for _ in range(HELD_OUT_ROWS)]
    wrong = [row for row in held_out if tagger.extract(row["text"]) != row["entities"]]
    for row in wrong[:10]:
        print("wrong:", row["text"], [(entity["label"], entity["text"]) for entity in tagger.extract(row["text"])])
    with open(MODEL, "w", encoding="utf-8") as file:
        json.dump({"tags": tagger.tags, "weights": tagger.weights}, file, indent=0, sort_keys=True, ensure_ascii=False)
        file.write("\n")
    with open(HELD_OUT, "w", encoding="utf-8") as file:
        file.write("[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in held_out) + "\n]\n")
    print("{} weights; {} of {} held-out sentences exactly right ({:.1%})".format(
        sum(map(len, tagger.weights.values())), len(held_out) - len(wrong), len(held_out),
        1 - len(wrong) / len(held_out)))


if __name__ == "__main__":
    main()
