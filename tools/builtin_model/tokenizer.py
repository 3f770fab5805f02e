"""Byte-pair tokenizer in the vocabulary form GGUF calls "llama" (SentencePiece).

    tokenizer.py build/            reads build/train.jsonl, writes build/vocab.json

`Tokenizer.encode` merges as libllama does: of all neighbours whose joined text is a piece, the pair with
the best score first, the leftmost of equals. Characters outside the vocabulary become byte tokens. No
space is put before the text, and no token is added around it.
"""

import collections
import heapq
import json
import os
import re
import sys

SPACE = "\u2581"
UNKNOWN, BOS, IM_START, IM_END = 0, 1, 2, 3
SPECIAL = ["<unk>", "<s>", "<|im_start|>", "<|im_end|>"]
FIRST_BYTE = len(SPECIAL)
FIRST_PIECE = FIRST_BYTE + 256
VOCABULARY = 2048
PIECE = re.compile(f"{SPACE}?[^\\W\\d_]+|{SPACE}?\\d|{SPACE}?[^\\w{SPACE}\\n]|\\n|{SPACE}|_")


class Tokenizer:
    def __init__(self, pieces):
        self.pieces = pieces  # normal pieces, best score first after the single characters
        self.ids = {piece: FIRST_PIECE + i for i, piece in enumerate(pieces)}
        self.cache = {}

    @classmethod
    def load(cls, path):
        with open(path) as source:
            return cls(json.load(source))

    def texts(self):
        return SPECIAL + [f"<0x{b:02X}>" for b in range(256)] + self.pieces

    def scores(self):
        return [0.0] * FIRST_PIECE + [-float(i) for i in range(len(self.pieces))]

    def merge(self, chunk):
        symbols = list(chunk)
        alive = [True] * len(symbols)
        after = list(range(1, len(symbols) + 1))
        before = list(range(-1, len(symbols) - 1))
        heap = []

        def offer(left, right):
            if left >= 0 and right < len(symbols):
                rank = self.ids.get(symbols[left] + symbols[right])
                if rank is not None:
                    heapq.heappush(heap, (rank, left, right, symbols[left] + symbols[right]))

        for i in range(len(symbols) - 1):
            offer(i, i + 1)
        while heap:
            _, left, right, text = heapq.heappop(heap)
            if not (alive[left] and alive[right]) or symbols[left] + symbols[right] != text:
                continue
            symbols[left] = text
            alive[right] = False
            after[left] = after[right]
            if after[left] < len(symbols):
                before[after[left]] = left
            offer(before[left], left)
            offer(left, after[left])
        ids = []
        for i, symbol in enumerate(symbols):
            if alive[i]:
                if symbol in self.ids:
                    ids.append(self.ids[symbol])
                else:
                    ids += [FIRST_BYTE + b for b in symbol.encode()]
        return ids

    def encode(self, text):
        # No piece has a space inside, so merges never cross from one word into the next.
        ids = []
        for chunk in re.findall(f"{SPACE}?[^{SPACE}]+|{SPACE}", text.replace(" ", SPACE)):
            found = self.cache.get(chunk)
            if found is None:
                found = self.cache[chunk] = self.merge(chunk)
            ids += found
        return ids

    def decode(self, ids):
        out = b""
        for i in ids:
            if i >= FIRST_PIECE:
                out += self.pieces[i - FIRST_PIECE].replace(SPACE, " ").encode()
            elif i >= FIRST_BYTE:
                out += bytes([i - FIRST_BYTE])
        return out.decode(errors="replace")


def chat_prompt(tokenizer, messages):
    """Tokens of [(role, text), ...] in the chatml form, up to where the assistant speaks."""
    ids = []
    for role, text in messages:
        ids += [IM_START] + tokenizer.encode(f"{role}\n{text}") + [IM_END] + tokenizer.encode("\n")
    return ids + [IM_START] + tokenizer.encode("assistant\n")


def learn(counts, size):
    """Ordinary byte-pair merges over counted words; returns the pieces."""
    characters = collections.Counter()
    for word, count in counts.items():
        for c in word:
            characters[c] += count
    # Any printable ASCII stays a character of its own, so that code and numbers do not fall to bytes.
    alphabet = sorted({c for c, n in characters.items() if n >= 200} | {chr(c) for c in range(33, 127)} | {SPACE, "\n"})
    words = [[list(w), n] for w, n in sorted(counts.items()) if all(c in alphabet for c in w)]
    pairs = collections.Counter()
    where = collections.defaultdict(set)
    for index, (symbols, n) in enumerate(words):
        for pair in zip(symbols, symbols[1:]):
            pairs[pair] += n
            where[pair].add(index)
    pieces = []
    while len(pieces) + len(alphabet) < size:
        best = max(pairs.items(), key=lambda item: (item[1], item[0]))[0]
        joined = best[0] + best[1]
        if joined not in pieces:
            pieces.append(joined)
        for index in sorted(where.pop(best)):
            symbols, n = words[index]
            for pair in zip(symbols, symbols[1:]):
                pairs[pair] -= n
            merged, i = [], 0
            while i < len(symbols):
                if i + 1 < len(symbols) and (symbols[i], symbols[i + 1]) == best:
                    merged.append(joined)
                    i += 2
                else:
                    merged.append(symbols[i])
                    i += 1
            words[index][0] = merged
            for pair in zip(merged, merged[1:]):
                pairs[pair] += n
                where[pair].add(index)
        del pairs[best]
    return pieces + alphabet


def main():
    build = sys.argv[1] if len(sys.argv) > 1 else "build"
    counts = collections.Counter()
    with open(os.path.join(build, "train.jsonl")) as lines:
        for line in lines:
            for user, assistant in json.loads(line)["turns"]:
                # Questions count less: the model only has to read them.
                for text, weight in ((user, 1), (assistant, 3)):
                    for word in PIECE.findall(text.replace(" ", SPACE)):
                        counts[word] += weight
    for role in ("user\n", "assistant\n", "system\n"):
        counts[role] = 10**7
    pieces = learn(counts, VOCABULARY - FIRST_PIECE)
    with open(os.path.join(build, "vocab.json"), "w") as out:
        json.dump(pieces, out)
    tokenizer = Tokenizer(pieces)
    sample = "A lantern is a light that you can carry."
    print(len(tokenizer.texts()), "tokens;", [tokenizer.decode([i]) for i in tokenizer.encode(sample)])


if __name__ == "__main__":
    main()
