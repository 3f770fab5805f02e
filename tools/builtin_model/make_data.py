"""Turns WordNet and our own templates into short chats: what the built-in model is taught.

Reads the files of Debian's `wordnet-base` and writes into the build folder:

  train.jsonl    one dialogue a line: {"kind": ..., "turns": [[user, assistant], ...]}
  focus.jsonl    the same, but about common words in short sentences, and with more small talk: for the second half
  polish.jsonl   the same with still more of what people try first: for the last steps
  heldout.jsonl  dialogues about WordNet entries of which no text is in train.jsonl
  words.txt      every lower-cased word of the training text, sorted

The same seed gives the same files.
"""

import argparse
import collections
import hashlib
import json
import os
import random
import re

import small_talk

POS_FILES = ("noun", "verb", "adj", "adv")
WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")
CONTENT_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")

# A model that answers strangers keeps off insults, sex, and violence. Entries with any of these
# stems in a gloss, an example or a headword are left out.
UNWANTED = re.compile(
    r"offensive|disparag|obscen|vulgar|slur|ethnic|sexual|\bsex|copulat|genital|penis|vagin|prostitut|"
    r"excrement|feces|fece|urin|fuck|shit|bitch|whore|\brape|incest|erotic|masturbat|intercourse|nude|naked|"
    r"breast|buttock|\banal\b|anus|murder|\bkill|suicid|terroris|nazi|jew|negro|nigger|slave|racial|\brace\b|"
    r"drug|cocaine|heroin|homosexual|lesbian|\bgay\b|\bass\b|testic|semen|abort|tortur|massacre|genocide|"
    r"\bdamn|\bhell\b|bastard|idiot|moron|stupid|derog|corpse|lynch|hanged|slaughter|drunk|crap|turd|fart|"
    r"lust|orgasm|condom|contracept|menstru|puberty|virgin|castrat|pimp|brothel|strip|muslim|islam|christ|"
    r"god\b|catholic|cancer|disease|tumor|fetus|womb|uter")


class Entry:
    """One WordNet synset, cleaned for use in sentences."""

    __slots__ = ("key", "pos", "lex", "words", "gloss", "examples", "pointers", "held_out")


def clean_gloss(text):
    text = re.sub(r"\([^)]*\)", " ", text)
    text = text.replace("`", "'").replace("--", ", ").replace("_", " ")
    text = re.sub(r"\s+", " ", text).strip(" ;:,.")
    return re.sub(r"\s+([,;.:])", r"\1", text)


def read_entries(folder):
    entries = {}
    for pos in POS_FILES:
        with open(os.path.join(folder, "data." + pos), encoding="latin-1") as lines:
            for line in lines:
                if line.startswith("  "):
                    continue
                fields, _, gloss = line.partition(" | ")
                fields = fields.split()
                count = int(fields[3], 16)
                entry = Entry()
                entry.pos = pos
                entry.key = pos[0] + fields[0] if pos != "adv" else "r" + fields[0]
                entry.lex = int(fields[1])
                entry.words = [re.sub(r"\(\w+\)$", "", fields[4 + 2 * i]).replace("_", " ") for i in range(count)]
                at = 4 + 2 * count
                entry.pointers = []
                for i in range(int(fields[at])):
                    symbol, offset, kind, ends = fields[at + 1 + 4 * i : at + 5 + 4 * i]
                    entry.pointers.append((symbol, ("a" if kind == "s" else kind) + offset, ends))
                examples = re.findall(r'"([^"]+)"', gloss)
                definition = clean_gloss(re.split(r'[;:,]?\s*"', gloss)[0]).split(";")[0].strip()
                entry.gloss = definition
                entry.examples = [clean_gloss(e) for e in examples]
                # By hash and not by order, so that the split survives changes of the filters.
                entry.held_out = int(hashlib.sha256(entry.key.encode()).hexdigest(), 16) % 50 == 0
                entries[entry.key] = entry
    return entries


def words_of(text):
    return CONTENT_WORD.findall(text.lower())


def article(word):
    return "an" if re.match(r"[aeiou]", word, re.I) and not re.match(r"(uni|use|eu|one|usu)", word, re.I) else "a"


def capital(text):
    return text[:1].upper() + text[1:]


def sentence(text):
    text = capital(text.strip())
    return text if text[-1:] in ".?!" else text + "."


class WordNet:
    def __init__(self, folder):
        self.entries = read_entries(folder)
        counts = collections.Counter()
        for entry in self.entries.values():
            counts.update(words_of(entry.gloss))
            for example in entry.examples:
                counts.update(words_of(example))
        self.counts = counts
        # index.*: senses of a lemma, the most frequent first, and how many of them a tagged corpus knows.
        self.senses = {}
        self.known = collections.Counter()
        for pos in POS_FILES:
            with open(os.path.join(folder, "index." + pos), encoding="latin-1") as lines:
                for line in lines:
                    if line.startswith("  "):
                        continue
                    fields = line.split()
                    lemma = fields[0].replace("_", " ")
                    senses = int(fields[2])
                    letter = "r" if pos == "adv" else pos[0]
                    self.senses[lemma, letter] = [letter + offset for offset in fields[-senses:]]
                    self.known[lemma] += int(fields[-senses - 1])

    def plain(self, text, least=8, longest=18):
        words = words_of(text)
        return (
            2 <= len(words) <= longest
            and not re.search(r"[^a-zA-Z ,;'.?!-]", text)
            and not UNWANTED.search(text.lower())
            and all(self.counts[w] >= least for w in words)
        )

    def lemma_ok(self, lemma):
        return re.fullmatch(r"[a-z]{2,14}( [a-z]{2,12})?", lemma) is not None and not UNWANTED.search(lemma)

    def common(self, lemma):
        return self.known[lemma] > 0 or self.counts[lemma] >= 15


# How a question is put. {x} is the word, {ax} the word with its article.
ASK_NOUN = [
    "What is {ax}?", "What is {ax}?", "What is {ax}?", "What's {ax}?", "What is {x}?", "What does {x} mean?", "Define {x}.",
    "Define the word {x}.", "What is the meaning of {x}?", "Explain {x}.", "Can you tell me what {ax} is?",
    "Tell me what {ax} is.", "Please explain what {ax} is.", "Do you know what {ax} is?", "What is meant by {x}?",
    "I would like to know what {ax} is.", "{x}?", "Explain the word {x} to me.", "What do you call {ax}?",
]
ASK_MASS = [
    "What is {x}?", "What is {x}?", "What is {x}?", "What's {x}?", "What does {x} mean?", "Define {x}.",
    "What is the meaning of {x}?", "Explain {x}.", "Can you tell me what {x} is?", "Tell me what {x} is.",
    "Do you know what {x} is?", "{x}?", "What is meant by {x}?",
]
ASK_VERB = [
    "What does it mean to {x}?", "What does {x} mean?", "Define {x}.", "What is the meaning of to {x}?",
    "Explain the verb {x}.", "What does the verb {x} mean?", "What do people do when they {x}?",
]
ASK_ADJ = [
    "What does {x} mean?", "Define {x}.", "What is the meaning of {x}?", "Explain the word {x}.",
    "What does the word {x} mean?", "When is something {x}?", "What do you mean by {x}?",
]
ASK_ABOUT = ["Tell me about {x}.", "Tell me something about {x}.", "What do you know about {x}?", "Talk about {x}.",
             "Say something about {x}.", "Can you tell me more about {x}?", "Describe {x}.", "Write a few words about {x}."]
ASK_EXAMPLE = [
    "Use the word {x} in a sentence.", "Give me a sentence with {x}.", "Make a sentence with the word {x}.",
    "Can you use {x} in a sentence?", "Give me an example with the word {x}.", "Write a sentence with {x}.",
    "How do I use the word {x}?", "Show me how to use {x}.",
]
ASK_SYNONYM = ["What is another word for {x}?", "Give me a synonym of {x}.", "Another word for {x}?",
               "What can I say instead of {x}?", "Which word means the same as {x}?"]
ASK_OPPOSITE = ["What is the opposite of {x}?", "Tell me the opposite of {x}.", "What is the contrary of {x}?", "Opposite of {x}?"]
ASK_KIND = ["What kind of thing is {ax}?", "What sort of thing is {ax}?", "Is {ax} a kind of {y}?", "What is {ax} a kind of?"]
ASK_KINDS = ["What kinds of {x} are there?", "Name some kinds of {x}.", "Give me an example of {ax}.", "Name {ax}.", "Name a kind of {x}."]
FOLLOW_EXAMPLE = ["Give me an example.", "Can you use it in a sentence?", "Use it in a sentence, please.", "For example?",
                  "And in a sentence?", "Show me an example."]
FOLLOW_SYNONYM = ["Is there another word for it?", "What is another word for that?", "And a synonym?"]
FOLLOW_KIND = ["What kind of thing is that?", "What kind of thing is it?"]

COUNTABLE_LEX = {5, 6, 8, 13, 14, 15, 17, 18, 20, 25}  # animal, artifact, body, food, group, place, object, person, plant, shape


class Author:
    """Writes dialogues about WordNet entries."""

    def __init__(self, net, rng, held_out, focus=False):
        self.net = net
        least, least_in_example, longest = (40, 20, 12) if focus else (8, 3, 18)
        self.rng = rng
        self.held_out = held_out
        self.subjects = []  # (lemma, entry): first senses with a plain gloss
        self.examples = []  # (lemma, sentence)
        self.pairs = []  # (lemma, opposite)
        for (lemma, letter), keys in sorted(net.senses.items()):
            if not net.lemma_ok(lemma):
                continue
            if focus and not (net.known[lemma] > 0 and net.counts[lemma] >= 12):
                continue
            for rank, key in enumerate(keys):
                entry = net.entries[key]
                if entry.held_out != held_out or lemma not in entry.words:
                    continue
                if any(UNWANTED.search(w.lower()) for w in entry.words):
                    continue
                if rank == 0 and net.plain(entry.gloss, least, longest):
                    self.subjects.append((lemma, entry))
                for example in entry.examples:
                    if len(example.split()) >= 4 and net.plain(example, least_in_example, longest) and re.search(r"\b" + re.escape(lemma[:-1]), example.lower()):
                        self.examples.append((lemma, example))
                if rank == 0:
                    for symbol, target, ends in entry.pointers:
                        if symbol == "!" and entry.words[int(ends[:2], 16) - 1] == lemma:
                            opposite = net.entries[target].words[int(ends[2:], 16) - 1]
                            if net.lemma_ok(opposite) and net.entries[target].held_out == held_out:
                                self.pairs.append((lemma, opposite))
        self.common_subjects = [s for s in self.subjects if net.common(s[0])]
        self.parents = []  # (lemma, names of common kinds)
        for lemma, entry in self.common_subjects:
            children = [net.entries[target] for symbol, target, _ in entry.pointers if symbol == "~" and entry.pos == "noun"]
            names = sorted({c.words[0] for c in children if c.held_out == held_out and net.lemma_ok(c.words[0])
                            and net.common(c.words[0]) and c.words[0] != lemma})
            if len(names) >= 3:
                self.parents.append((lemma, names))
        self.decks = {}
        self.example_limits = least_in_example, longest

    def draw(self, name, items):
        """Cards from a shuffled deck: everything is seen once before anything is seen twice."""
        deck = self.decks.get(name)
        if not deck:
            deck = self.decks[name] = list(items)
            self.rng.shuffle(deck)
        return deck.pop()

    def countable(self, entry):
        return entry.lex in COUNTABLE_LEX or re.match(r"(a|an|any|someone|one|something)\b", entry.gloss) is not None

    def definition(self, lemma, entry):
        """(questions, answer)"""
        gloss = entry.gloss
        if entry.pos == "noun":
            ax = f"{article(lemma)} {lemma}"
            if re.match(r"(a|an|any|someone|one|something) ", gloss):
                subject = ax if self.countable(entry) and not re.search(r"(ness|ity|ism|ing|ics|ment|phy|ogy)$", lemma) else lemma
                return (ASK_NOUN if subject == ax else ASK_MASS), f"{capital(subject)} is {gloss}."
            if gloss.startswith("the "):
                return ASK_MASS + ASK_NOUN[:2], f"{capital(lemma)} is {gloss}."
            if entry.lex in COUNTABLE_LEX:
                return ASK_NOUN, f"{capital(lemma)} means {gloss}."
            return ASK_MASS, f"{capital(lemma)} is {gloss}."
        if entry.pos == "verb":
            return ASK_VERB, f"To {lemma} means to {gloss}."
        if entry.pos == "adj":
            return ASK_ADJ, f"Something that is {lemma} is {gloss}." if gloss.split()[0].endswith(("ing", "ed", "ful", "able", "ous")) \
                else f"{capital(lemma)} means {gloss}."
        return ASK_ADJ[:5], f"{capital(lemma)} means {gloss}."

    def ask(self, frames, lemma, y=""):
        text = self.rng.choice(frames).format(x=lemma, ax=f"{article(lemma)} {lemma}", y=y)
        return vary(self.rng, capital(text))

    def parent(self, entry):
        for symbol, target, _ in entry.pointers:
            if symbol == "@":
                word = self.net.entries[target].words[0]
                if self.net.lemma_ok(word) and self.net.counts[word.split()[0]] >= 5:
                    return word
        return None

    def example_of(self, lemma, entry):
        good = [e for e in entry.examples if len(e.split()) >= 4 and self.net.plain(e, *self.example_limits)]
        return self.rng.choice(good) if good else None

    def synonym(self, lemma, entry):
        good = [w for w in entry.words if w != lemma and self.net.lemma_ok(w) and self.net.common(w)]
        return self.rng.choice(good) if good else None

    def kind_line(self, lemma, entry, parent):
        subject = f"{article(lemma)} {lemma}" if self.countable(entry) else lemma
        return f"{capital(subject)} is a kind of {parent}."

    def about_subject(self):
        rng = self.rng
        lemma, entry = (self.draw("common", self.common_subjects) if rng.random() < 0.65 else self.draw("all", self.subjects))
        frames, answer = self.definition(lemma, entry)
        example = self.example_of(lemma, entry)
        synonym = self.synonym(lemma, entry)
        parent = self.parent(entry) if entry.pos == "noun" else None
        turns = []
        dice = rng.random()
        if dice < 0.25:
            parts = [answer]
            if parent and rng.random() < 0.8:
                parts.append(rng.choice([self.kind_line(lemma, entry, parent), f"It is a kind of {parent}."]))
            if synonym and rng.random() < 0.6:
                parts.append(f"Another word for {lemma} is {synonym}.")
            if example and rng.random() < 0.8:
                parts.append(f"For example: {sentence(example)}")
            turns.append([self.ask(ASK_ABOUT, lemma), " ".join(parts)])
        elif dice < 0.33 and parent:
            question = self.ask(ASK_KIND, lemma, parent)
            line = self.kind_line(lemma, entry, parent)
            turns.append([question, "Yes. " + line if question.lower().startswith("is ") else line])
        elif dice < 0.38 and synonym:
            turns.append([self.ask(ASK_SYNONYM, lemma), f"Another word for {lemma} is {synonym}."])
        elif dice < 0.45 and example:
            turns.append([self.ask(ASK_EXAMPLE, lemma), sentence(example)])
        else:
            turns.append([self.ask(frames, lemma), answer])
        if rng.random() < 0.2:
            if example and sentence(example) not in turns[0][1]:
                turns.append([vary(rng, rng.choice(FOLLOW_EXAMPLE)), sentence(example)])
            elif synonym:
                turns.append([vary(rng, rng.choice(FOLLOW_SYNONYM)), f"Another word for {lemma} is {synonym}."])
            elif parent:
                turns.append([vary(rng, rng.choice(FOLLOW_KIND)), self.kind_line(lemma, entry, parent)])
        return {"kind": "wordnet", "turns": turns}

    def about_example(self):
        lemma, example = self.draw("examples", self.examples)
        return {"kind": "wordnet", "turns": [[self.ask(ASK_EXAMPLE, lemma), sentence(example)]]}

    def about_opposite(self):
        lemma, opposite = self.draw("pairs", self.pairs)
        return {"kind": "wordnet", "turns": [[self.ask(ASK_OPPOSITE, lemma), f"The opposite of {lemma} is {opposite}."]]}

    def about_kinds(self):
        lemma, names = self.draw("parents", self.parents)
        names = self.rng.sample(names, 3)
        question = self.ask(ASK_KINDS, lemma)
        if re.match(r"(give|name an? )", question.lower()):
            return {"kind": "wordnet", "turns": [[question, f"{capital(article(names[0]))} {names[0]} is a kind of {lemma}."]]}
        return {"kind": "wordnet", "turns": [[question, f"Some kinds of {lemma} are {names[0]}, {names[1]} and {names[2]}."]]}

    def dialogue(self):
        dice = self.rng.random()
        if dice < 0.72:
            return self.about_subject()
        if dice < 0.90:
            return self.about_example()
        if dice < 0.94:
            return self.about_opposite()
        return self.about_kinds()


def vary(rng, text):
    """People type without capitals and full stops too."""
    dice = rng.random()
    if dice < 0.15:
        text = text[0].lower() + text[1:]
    elif dice < 0.2:
        text = text.lower()
    if rng.random() < 0.15:
        text = text.rstrip("?.!")
    if rng.random() < 0.06:
        text = rng.choice(["Hello! ", "Hi, ", "Please: ", "Hey, "]) + text
    return text


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wordnet", default="/usr/share/wordnet")
    parser.add_argument("--build", default="build")
    parser.add_argument("--dialogues", type=int, default=400000)
    parser.add_argument("--files", default="train,focus,polish")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    os.makedirs(args.build, exist_ok=True)

    net = WordNet(args.wordnet)
    words = set()
    for message in small_talk.SYSTEM_MESSAGES:
        words.update(WORD.findall(message.lower()))
    for name, number, seed, talk_share, focus in (
            ("train", args.dialogues, args.seed, 0.34, False),
            ("focus", args.dialogues // 5, args.seed + 2, 0.5, True),
            ("polish", args.dialogues // 10, args.seed + 3, 0.7, True)):
        if name not in args.files.split(","):
            continue
        rng = random.Random(seed)
        author = Author(net, rng, held_out=False, focus=focus)
        talk = small_talk.SmallTalk(rng, vary, story_share=0.1 if focus else 0.2, extra=name == "polish")
        counts = collections.Counter()
        with open(os.path.join(args.build, name + ".jsonl"), "w") as out:
            for _ in range(number):
                dialogue = talk.dialogue() if rng.random() >= 1 - talk_share else author.dialogue()
                counts[dialogue["kind"]] += sum(len(u) + len(a) for u, a in dialogue["turns"])
                for user, assistant in dialogue["turns"]:
                    words.update(WORD.findall((user + " " + assistant).lower()))
                out.write(json.dumps(dialogue, ensure_ascii=False) + "\n")
        print(name, "characters by kind:", dict(counts))
        print(name, "subjects", len(author.subjects), "common", len(author.common_subjects), "examples", len(author.examples),
              "opposites", len(author.pairs), "parents", len(author.parents))
    with open(os.path.join(args.build, "words.txt"), "w") as out:
        out.write("\n".join(sorted(words)) + "\n")

    rng = random.Random(args.seed + 1)
    other = Author(net, rng, held_out=True)
    with open(os.path.join(args.build, "heldout.jsonl"), "w") as out:
        for lemma, entry in other.subjects:
            frames, answer = other.definition(lemma, entry)
            out.write(json.dumps({"kind": "heldout", "turns": [[other.ask(frames, lemma), answer]]}) + "\n")
        for lemma, example in other.examples:
            out.write(json.dumps({"kind": "heldout", "turns": [[other.ask(ASK_EXAMPLE, lemma), sentence(example)]]}) + "\n")

    print(len(words), "words,", len(other.subjects) + len(other.examples), "held-out dialogues")


if __name__ == "__main__":
    main()
