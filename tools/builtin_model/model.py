"""The network of the built-in model: Llama in plain torch, small enough to read at one go."""

import dataclasses
import math

import torch
import torch.nn.functional as F


@dataclasses.dataclass
class Shape:
    vocabulary: int = 2048
    width: int = 256
    layers: int = 2
    heads: int = 4
    kv_heads: int = 2
    feed_forward: int = 256
    context: int = 1024
    rope_base: float = 10000.0
    epsilon: float = 1e-5

    @property
    def head(self):
        return self.width // self.heads


class Llama(torch.nn.Module):
    """Weights are fused (qkv, gate and up) for speed; the output shares the embedding."""

    def __init__(self, shape, seed=1):
        super().__init__()
        self.shape = shape
        torch.manual_seed(seed)
        s = shape
        out_scale = 0.02 / math.sqrt(2 * s.layers)

        def matrix(rows, columns, scale=0.02):
            return torch.nn.Parameter(torch.randn(rows, columns) * scale)

        self.embedding = matrix(s.vocabulary, s.width)
        self.final_norm = torch.nn.Parameter(torch.ones(s.width))
        self.layers = torch.nn.ModuleList()
        for _ in range(s.layers):
            layer = torch.nn.Module()
            layer.attention_norm = torch.nn.Parameter(torch.ones(s.width))
            layer.qkv = matrix((s.heads + 2 * s.kv_heads) * s.head, s.width, 0.04)
            layer.out = matrix(s.width, s.width, out_scale)
            layer.ffn_norm = torch.nn.Parameter(torch.ones(s.width))
            layer.gate_up = matrix(2 * s.feed_forward, s.width, 0.04)
            layer.down = matrix(s.width, s.feed_forward, out_scale)
            self.layers.append(layer)
        # Rotation in halves (x[i] with x[i + head/2]); the export reorders q and k into libllama's pairs.
        angles = torch.arange(s.context)[:, None] * s.rope_base ** (-torch.arange(0, s.head, 2) / s.head)[None]
        self.register_buffer("cos", angles.cos()[:, None], persistent=False)
        self.register_buffer("sin", angles.sin()[:, None], persistent=False)
        self.masks = {}

    def norm(self, x, weight):
        return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + self.shape.epsilon) * weight

    def mask(self, length):
        if length not in self.masks:
            mask = torch.full((length, length), -1e9).triu(1)
            self.masks[length] = mask.repeat(self.shape.heads // self.shape.kv_heads, 1)[None]
        return self.masks[length]

    def forward(self, tokens, wanted=None):
        """Logits at every position, or at the `wanted` indices of the flattened batch."""
        s = self.shape
        batch, length = tokens.shape
        cos, sin = self.cos[:length], self.sin[:length]
        x = F.embedding(tokens, self.embedding)
        for layer in self.layers:
            h = F.linear(self.norm(x, layer.attention_norm), layer.qkv).view(batch, length, -1, s.head)
            first, second = h[:, :, : s.heads + s.kv_heads].chunk(2, -1)
            qk = torch.cat([first * cos - second * sin, first * sin + second * cos], -1)
            group = s.heads // s.kv_heads
            q = qk[:, :, : s.heads].permute(0, 2, 1, 3).reshape(batch * s.kv_heads, group * length, s.head)
            k = qk[:, :, s.heads :].permute(0, 2, 3, 1).reshape(batch * s.kv_heads, s.head, length)
            v = h[:, :, s.heads + s.kv_heads :].permute(0, 2, 1, 3).reshape(batch * s.kv_heads, length, s.head)
            weights = torch.baddbmm(self.mask(length), q, k, alpha=s.head**-0.5).softmax(-1)
            attended = (weights @ v).view(batch, s.heads, length, s.head).permute(0, 2, 1, 3)
            x = x + F.linear(attended.reshape(batch, length, s.width), layer.out)
            gate, up = F.linear(self.norm(x, layer.ffn_norm), layer.gate_up).chunk(2, -1)
            x = x + F.linear(F.silu(gate) * up, layer.down)
        x = x.reshape(-1, s.width)
        if wanted is not None:
            x = x[wanted]
        return F.linear(self.norm(x, self.final_norm), self.embedding)


@torch.no_grad()
def generate(model, tokens, stop, limit=120, temperature=0.0, top_p=1.0, generator=None):
    """New tokens after `tokens`, without the stop token."""
    tokens = list(tokens)
    made = []
    while len(made) < limit and len(tokens) < model.shape.context:
        logits = model(torch.tensor([tokens]), torch.tensor([len(tokens) - 1]))[0]
        if temperature == 0:
            token = int(logits.argmax())
        else:
            chances, order = (logits / temperature).softmax(-1).sort(descending=True)
            keep = (chances.cumsum(-1) - chances) < top_p
            token = int(order[torch.multinomial(chances * keep, 1, generator=generator)])
        if token == stop:
            break
        tokens.append(token)
        made.append(token)
    return made
