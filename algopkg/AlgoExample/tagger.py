"""Marks people, places, dates and amounts in a sentence: a perceptron that looks at each word and its neighbours.

Standard library only, on every Python from 3.6. The weights are made by scripts/models/train_algoexample.py, which
imports this module, so that training and serving see the same words and features.
"""
import re

OUTSIDE = "O"
_TOKEN = re.compile(r"\d+(?:[.,:/-]\d+)*|[^\W\d_]+(?:'[^\W\d_]+)?|[^\w\s]|_")


def tokenize(text):
    """Splits a text into (start, end) spans of words, numbers and single signs."""
    return [match.span() for match in _TOKEN.finditer(text)]


def shape(word):
    """The look of a word: letters become X or x, digits 9, runs are shortened ('Paris' -> 'Xx', '1,200' -> '9,9')."""
    look = re.sub(r"\d+", "9", word)
    look = "".join("X" if sign.isupper() else "x" if sign.islower() else sign for sign in look)
    return re.sub(r"(.)\1+", r"\1", look)


def features(words, index, previous_tag):
    """What the model knows about the word at index: itself, its look, its neighbours and the tag before it."""

    def at(position):
        return words[position] if 0 <= position < len(words) else "<end>"

    word, before, after = at(index), at(index - 1).lower(), at(index + 1).lower()
    return (
        "bias",
        "word=" + word.lower(),
        "ending=" + word[-3:].lower(),
        "shape=" + shape(word),
        "before=" + before,
        "before2=" + at(index - 2).lower() + " " + before,
        "after=" + after,
        "shapes=" + shape(at(index - 1)) + " " + shape(word) + " " + shape(at(index + 1)),
        "tag=" + previous_tag,
        "tag,shape=" + previous_tag + " " + shape(word),
        "tag,before=" + previous_tag + " " + before + " " + shape(word),
        "shape,after=" + shape(word) + " " + after,
        "shape,before=" + shape(word) + " " + before,
        "first" if index == 0 else "inside",
    )


class Tagger(object):
    """Weights for each feature and tag; tags are 'O', or 'B-' (begins) and 'I-' (goes on) with a label."""

    def __init__(self, tags, weights):
        self.tags = tags
        self.weights = weights

    def best_tag(self, seen, previous_tag):
        """The tag with the highest score; 'I-' is only possible after a tag of the same label."""
        scores = dict.fromkeys(self.tags, 0.0)
        for feature in seen:
            for tag, weight in self.weights.get(feature, {}).items():
                scores[tag] += weight
        allowed = [tag for tag in self.tags if not tag.startswith("I-") or previous_tag[2:] == tag[2:]]
        return max(allowed, key=lambda tag: scores[tag])

    def tag(self, words):
        """One tag for each word, decided from left to right."""
        tags = []
        previous_tag = OUTSIDE
        for index in range(len(words)):
            previous_tag = self.best_tag(features(words, index, previous_tag), previous_tag)
            tags.append(previous_tag)
        return tags

    def extract(self, text):
        """The entities of a text in order: [{'label': 'place', 'text': 'Lyon', 'start': 12, 'end': 16}]."""
        spans = tokenize(text)
        entities = []
        for (start, end), tag in zip(spans, self.tag([text[start:end] for start, end in spans])):
            if tag.startswith("B-"):
                entities.append({"label": tag[2:], "start": start, "end": end})
            elif tag.startswith("I-"):
                entities[-1]["end"] = end
        for entity in entities:
            entity["text"] = text[entity["start"]:entity["end"]]
        return entities
