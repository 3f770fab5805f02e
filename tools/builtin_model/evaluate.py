"""Measures a trained model: held-out bits per byte, the share of known words in sampled answers, samples.

    evaluate.py --build build
"""

import argparse
import collections
import json
import lzma
import math
import os
import re

import torch

from model import Llama, Shape, generate
from tokenizer import IM_END, Tokenizer, chat_prompt
from train import bits_per_byte

WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")

PROMPTS = [
    "Hello!", "hi", "Hi there, how are you?", "Good morning!", "Hey", "Hello, can you hear me?", "Who are you?", "What can you do?",
    "Thank you very much!", "Goodbye!", "My name is Maria.", "How old are you?", "Hallo!",
    "What is a lantern?", "What is a dog?", "What is music?", "What is a river?", "What does brave mean?", "Define hammer.",
    "What is happiness?", "What does it mean to run?", "What is a computer?", "What is a planet?", "Explain the word gravity.",
    "What is a teacher?", "what is bread", "What does quickly mean?", "What is an engine?", "What is a token?",
    "Use the word house in a sentence.", "Give me a sentence with water.", "Make a sentence with the word friend.",
    "Can you use open in a sentence?", "Tell me about cats.", "Tell me about winter.", "Tell me something about trees.",
    "What do you know about ships?", "What is the opposite of hot?", "What is another word for big?", "Name some kinds of bird.",
    "Tell me a story.", "Tell me a story about a fox.", "Write a short story about a robot.", "Tell me a joke.",
    "How do I cook rice?", "Write a poem about the sea.", "What is the capital of France?", "Why is the sky blue?",
    "What is 2 + 3?", "Please summarize the plot of a film that you like.",
]
SHOWN = ["Hello!", "Hi there, how are you?", "Who are you?", "What is a lantern?", "What does brave mean?", "What is a computer?",
         "Use the word house in a sentence.", "Tell me about winter.", "What is the opposite of hot?", "Tell me a story about a fox.",
         "How do I cook rice?"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build")
    parser.add_argument("--checkpoint", default="checkpoint.pt")
    parser.add_argument("--temperature", type=float, default=0.8)
    parser.add_argument("--top-p", type=float, default=0.95)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--average", action="store_true", help="as in export_gguf.py")
    parser.add_argument("--quick", action="store_true", help="samples only")
    args = parser.parse_args()
    torch.set_num_threads(1)
    saved = torch.load(os.path.join(args.build, args.checkpoint))
    model = Llama(Shape(**saved["shape"]))
    model.load_state_dict(saved["model"])
    if args.average:
        with torch.no_grad():
            for p, mean in zip(model.parameters(), saved["average"]):
                p.copy_(mean)
    # What the GGUF holds.
    with torch.no_grad():
        for p in model.parameters():
            if p.dim() == 2:
                p.copy_(p.half().float())
    tokenizer = Tokenizer.load(os.path.join(args.build, "vocab.json"))
    with open(os.path.join(args.build, "words.txt")) as source:
        known = set(source.read().split())

    if not args.quick:
        path = os.path.join(args.build, "heldout.jsonl")
        answers = []
        with open(path) as lines:
            for line in lines:
                answers.append(json.loads(line)["turns"][0][1])
        text = ("\n".join(answers) + "\n").encode()
        counts = collections.Counter(text)
        entropy = -sum(n * math.log2(n / len(text)) for n in counts.values()) / len(text)
        print(f"held out: {len(answers)} answers, {len(text)} bytes")
        print(f"  model          {bits_per_byte(model, tokenizer, path):.3f} bits per byte")
        print(f"  xz -9e         {8 * len(lzma.compress(text, preset=9 | lzma.PRESET_EXTREME)) / len(text):.3f}")
        print(f"  single bytes   {entropy:.3f}")

    generator = torch.Generator().manual_seed(args.seed)
    total, strange = 0, []
    for prompt in PROMPTS:
        made = generate(model, chat_prompt(tokenizer, [("user", prompt)]), IM_END, 160, args.temperature, args.top_p, generator)
        answer = tokenizer.decode(made)
        words = WORD.findall(answer.lower())
        total += len(words)
        strange += [w for w in words if w not in known]
        print(f"{prompt} -> {answer}")
    print(f"{len(PROMPTS)} answers, temperature {args.temperature}, top-p {args.top_p}, seed {args.seed}: {total} words, "
          f"{100 * (1 - len(strange) / max(1, total)):.2f} % known; unknown: {' '.join(strange)}")
    print("greedy:")
    for prompt in SHOWN:
        print(f"{prompt} -> {tokenizer.decode(generate(model, chat_prompt(tokenizer, [('user', prompt)]), IM_END, 160))}")


if __name__ == "__main__":
    main()
