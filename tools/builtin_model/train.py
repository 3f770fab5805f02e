"""Trains the built-in model; run it again with --resume after an interruption.

    train.py --build build --steps 4000

Reads train.jsonl, heldout.jsonl and vocab.json of the build folder, writes checkpoint.pt there. Same seed,
steps and torch: same weights. One thread, because two on a busy machine wait for each other.
"""

import argparse
import json
import math
import os
import random
import time

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # torch's own thread setting does not reach OpenBLAS

import numpy
import torch
import torch.nn.functional as F

import small_talk
from model import Llama, Shape, generate
from tokenizer import IM_END, IM_START, Tokenizer, chat_prompt

SHORT, LONG = 128, 1024  # tokens of a training window
LONG_EVERY = 16  # one step in so many sees long windows: positions up to the context length are learned too


class Packer:
    """Puts dialogues behind one another: each window is a conversation that starts at position 0."""

    def __init__(self, tokenizer, dialogues, seed):
        self.tokenizer = tokenizer
        self.dialogues = iter(dialogues)
        self.rng = random.Random(seed)
        self.waiting = []

    def message(self, role, text, taught):
        body = self.tokenizer.encode(text)
        head = [IM_START] + self.tokenizer.encode(role + "\n")
        tail = self.tokenizer.encode("\n")
        return head + body + [IM_END] + tail, [0] * len(head) + [taught] * (len(body) + 1) + [0] * len(tail)

    def render(self, dialogue):
        tokens, marks = [], []
        for user, assistant in dialogue["turns"]:
            for role, text, taught in (("user", user, 0), ("assistant", assistant, 1)):
                t, m = self.message(role, text, taught)
                tokens += t
                marks += m
        plain = self.tokenizer.encode(dialogue["turns"][-1][1])
        return tokens, marks, plain

    def refill(self):
        while len(self.waiting) < 64:
            dialogue = next(self.dialogues, None)
            if dialogue is None:
                return
            self.waiting.append(self.render(dialogue))

    def window(self, length):
        """(tokens, marks) of `length` + 1, or None when the dialogues are used up."""
        self.refill()
        if len(self.waiting) < 64:
            return None
        tokens, marks = [], []
        dice = self.rng.random()
        if dice < 0.04:  # plain text, for completions without a chat
            while len(tokens) < length:
                self.refill()
                if not self.waiting:
                    return None
                plain = self.waiting.pop(0)[2] + self.tokenizer.encode("\n")
                tokens += plain
                marks += [1] * len(plain)
        elif dice < 0.28:
            tokens, marks = self.message("system", self.rng.choice(small_talk.SYSTEM_MESSAGES), 0)
        while len(tokens) < length - 20:
            self.refill()
            room = length + 1 - len(tokens)
            fits = next((i for i, d in enumerate(self.waiting) if len(d[0]) <= room), None)
            if fits is None:
                if tokens or not self.waiting:
                    break
                fits = 0
            t, m, _ = self.waiting.pop(fits)
            tokens = tokens + t
            marks = marks + m
        tokens, marks = tokens[: length + 1], marks[: length + 1]
        short = length + 1 - len(tokens)
        return tokens + [0] * short, marks + [0] * short


def pack(build, name, seed):
    path = os.path.join(build, name + ".npz")
    if os.path.exists(path):
        data = numpy.load(path)
        return {name: data[name] for name in data.files}
    tokenizer = Tokenizer.load(os.path.join(build, "vocab.json"))
    with open(os.path.join(build, name + ".jsonl")) as lines:
        packer = Packer(tokenizer, (json.loads(line) for line in lines), seed)
        rng = random.Random(seed + 1)
        made = {SHORT: [], LONG: []}
        while True:
            length = LONG if rng.random() < SHORT / LONG / LONG_EVERY else SHORT
            window = packer.window(length)
            if window is None:
                break
            made[length].append(window)
    data = {}
    for name, length in (("short", SHORT), ("long", LONG)):
        data[name] = numpy.array([w[0] for w in made[length]], dtype=numpy.int16)
        data[name + "_marks"] = numpy.array([w[1] for w in made[length]], dtype=numpy.int8)
    numpy.savez(path, **data)
    return data


def orthogonal(update):
    """The nearest matrix with equal singular values, about (Newton-Schulz, as in the Muon optimiser)."""
    x = update / (update.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.T
    for _ in range(4):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x.T if tall else x


class Optimiser:
    """Muon for the matrices inside the layers, Adam for the embedding and the norms."""

    def __init__(self, model, rate, muon_rate):
        self.matrices = [p for n, p in model.named_parameters() if p.dim() == 2 and n != "embedding" and muon_rate > 0]
        chosen = {id(p) for p in self.matrices}
        rest = [p for p in model.parameters() if id(p) not in chosen]
        self.adam = torch.optim.AdamW(rest, rate, betas=(0.9, 0.98), weight_decay=0.0, foreach=True)
        self.rate, self.muon_rate = rate, muon_rate
        self.momenta = [torch.zeros_like(p) for p in self.matrices]

    @torch.no_grad()
    def step(self, scale):
        for group in self.adam.param_groups:
            group["lr"] = self.rate * scale
        self.adam.step()
        self.adam.zero_grad()
        for p, momentum in zip(self.matrices, self.momenta):
            momentum.mul_(0.95).add_(p.grad)
            update = orthogonal(p.grad + 0.95 * momentum)
            size = max(1.0, p.shape[0] / p.shape[1]) ** 0.5
            p.mul_(1 - 0.05 * self.muon_rate * scale).add_(update, alpha=-self.muon_rate * scale * size)
            p.grad = None

    def state(self):
        return {"adam": self.adam.state_dict(), "momenta": self.momenta}

    def load(self, state):
        self.adam.load_state_dict(state["adam"])
        self.momenta = state["momenta"]


@torch.no_grad()
def bits_per_byte(model, tokenizer, path, limit=None):
    """Over the answers; the end of an answer counts as one byte, as a line end would in a file."""
    nats, size = 0.0, 0
    rows = []
    with open(path) as lines:
        for line in lines:
            user, assistant = json.loads(line)["turns"][0]
            prompt = chat_prompt(tokenizer, [("user", user)])
            answer = tokenizer.encode(assistant) + [IM_END]
            rows.append((prompt, answer, len(assistant.encode()) + 1))
    if limit:
        rows = random.Random(1).sample(rows, limit)
    for prompt, answer, length in rows:
        tokens = torch.tensor([prompt + answer])
        wanted = torch.arange(len(prompt) - 1, len(prompt) + len(answer) - 1)
        nats += float(F.cross_entropy(model(tokens, wanted), tokens[0, wanted + 1], reduction="sum"))
        size += length
    return nats / math.log(2) / size


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build")
    parser.add_argument("--data", default="train", help="train, focus or polish")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--until", type=int, help="stop at this step, to go on with other data or another schedule")
    parser.add_argument("--batch", type=int, default=1536, help="tokens of a step")
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--muon-rate", type=float, default=0.02, help="0: Adam for everything")
    parser.add_argument("--decay", type=float, default=0.5, help="the last share of the steps, in which the rate falls to 0")
    parser.add_argument("--feed-forward", type=int, default=Shape.feed_forward)
    parser.add_argument("--layers", type=int, default=Shape.layers)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--name", default="checkpoint.pt")
    parser.add_argument("--resume", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)

    a = torch.randn(512, 512)
    start = time.time()
    for _ in range(10):
        a @ a
    if time.time() - start > 0.5:
        raise SystemExit("matrix products are slow: install libopenblas0-pthread")

    data = pack(args.build, args.data, args.seed)
    tokenizer = Tokenizer.load(os.path.join(args.build, "vocab.json"))
    model = Llama(Shape(layers=args.layers, feed_forward=args.feed_forward), args.seed)
    optimiser = Optimiser(model, args.rate, args.muon_rate)
    average = [p.detach().clone() for p in model.parameters()]
    checkpoint_path = os.path.join(args.build, args.name)
    first = 0
    if args.resume:
        saved = torch.load(checkpoint_path)
        model.load_state_dict(saved["model"])
        optimiser.load(saved["optimiser"])
        average = saved["average"]
        first = saved["step"]
    print({n: v.shape for n, v in data.items()}, sum(p.numel() for p in model.parameters()), "parameters", flush=True)

    def save(step):
        state = {"step": step, "shape": model.shape.__dict__, "model": model.state_dict(),
                 "optimiser": optimiser.state(), "average": average}
        torch.save(state, checkpoint_path + ".new")
        os.replace(checkpoint_path + ".new", checkpoint_path)

    started = time.time()
    shown, taught = 0.0, 0
    last = min(args.steps, args.until or args.steps)
    for step in range(first, last):
        # Which windows a step sees depends on its number alone, so that a resumed run is the same run.
        name = "long" if step % LONG_EVERY == 0 else "short"
        windows = data[name]
        count = max(1, args.batch // (windows.shape[1] - 1))
        per_epoch = len(windows) // count
        turn = step // LONG_EVERY if name == "long" else step - step // LONG_EVERY - 1
        order = numpy.random.default_rng([args.seed, turn // per_epoch]).permutation(len(windows))
        rows = order[(turn % per_epoch) * count : (turn % per_epoch + 1) * count]
        batch = torch.from_numpy(windows[rows].astype(numpy.int64))
        wanted = torch.from_numpy(numpy.flatnonzero(data[name + "_marks"][rows][:, 1:]))
        loss = F.cross_entropy(model(batch[:, :-1], wanted), batch[:, 1:].reshape(-1)[wanted])
        loss.backward()
        progress = step / args.steps
        scale = min(1.0, (step + 1) / 60, (1 - progress) / args.decay)
        optimiser.step(scale)
        with torch.no_grad():
            for mean, p in zip(average, model.parameters()):
                mean.lerp_(p, 0.02)
        shown += float(loss) * len(wanted)
        taught += len(wanted)
        if (step + 1) % 50 == 0:
            speed = (step + 1 - first) * args.batch / (time.time() - started)
            print(f"step {step + 1} loss {shown / taught:.4f} rate {scale:.3f} {speed:.0f} tokens/s "
                  f"{time.time() - started:.0f} s", flush=True)
            shown, taught = 0.0, 0
        if (step + 1) % 200 == 0 or step + 1 == last:
            save(step + 1)
            quality = bits_per_byte(model, tokenizer, os.path.join(args.build, "heldout.jsonl"), 200)
            print(f"   held out (200 answers): {quality:.4f} bits per byte", flush=True)
            for question in ("Hello", "What is a lantern?", "Tell me a story."):
                made = generate(model, chat_prompt(tokenizer, [("user", question)]), IM_END, 60)
                print(f"   {question} -> {tokenizer.decode(made)}", flush=True)
    quality = bits_per_byte(model, tokenizer, os.path.join(args.build, "heldout.jsonl"), 400)
    print(f"held out (400 answers): {quality:.4f} bits per byte", flush=True)


if __name__ == "__main__":
    main()
