"""Writes a checkpoint as GGUF, the form libllama reads. Matrices as F16, norms as F32.

    export_gguf.py --build build --out ../../catalog/builtin/builtin.gguf
"""

import argparse
import os
import struct

import numpy
import torch

from model import Shape
from tokenizer import BOS, FIRST_BYTE, FIRST_PIECE, IM_END, UNKNOWN, Tokenizer

ALIGNMENT = 32
F32, F16 = 0, 1
UINT32, FLOAT32, BOOL, STRING, ARRAY, INT32 = 4, 6, 7, 8, 9, 5
NORMAL_TOKEN, UNKNOWN_TOKEN, CONTROL_TOKEN, BYTE_TOKEN = 1, 2, 3, 6

CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")


def string(text):
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def value(kind, content):
    if kind == STRING:
        return string(content)
    return struct.pack({UINT32: "<I", INT32: "<i", FLOAT32: "<f", BOOL: "<?"}[kind], content)


class Writer:
    def __init__(self):
        self.fields = []
        self.tensors = []

    def add(self, key, kind, content):
        self.fields.append(string(key) + struct.pack("<I", kind) + value(kind, content))

    def add_array(self, key, kind, contents):
        head = string(key) + struct.pack("<IIQ", ARRAY, kind, len(contents))
        self.fields.append(head + b"".join(value(kind, c) for c in contents))

    def add_tensor(self, name, array):
        kind = F32 if array.ndim == 1 else F16
        self.tensors.append((name, kind, array.astype(numpy.float32 if kind == F32 else numpy.float16)))

    def write(self, path):
        info, offset, blobs = b"", 0, []
        for name, kind, array in self.tensors:
            shape = array.shape[::-1]  # GGUF names the fastest dimension first
            info += string(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape)
            info += struct.pack("<IQ", kind, offset)
            data = array.tobytes()
            blobs.append(data + b"\0" * (-len(data) % ALIGNMENT))
            offset += len(blobs[-1])
        head = b"GGUF" + struct.pack("<IQQ", 3, len(self.tensors), len(self.fields)) + b"".join(self.fields) + info
        head += b"\0" * (-len(head) % ALIGNMENT)
        with open(path + ".new", "wb") as out:
            out.write(head + b"".join(blobs))
        os.replace(path + ".new", path)


def interleaved(matrix, heads):
    """From rotation in halves (x[i] with x[i + head/2]) to libllama's neighbours (x[2i] with x[2i + 1])."""
    rows, columns = matrix.shape
    return matrix.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build")
    parser.add_argument("--checkpoint", default="checkpoint.pt")
    parser.add_argument("--out", default="builtin.gguf")
    parser.add_argument("--average", action="store_true", help="the running mean of the weights: better before the rate has fallen")
    args = parser.parse_args()

    saved = torch.load(os.path.join(args.build, args.checkpoint))
    shape = Shape(**saved["shape"])
    weights = {name: w.numpy() for name, w in saved["model"].items()}
    if args.average:
        weights = dict(zip(saved["model"], (w.numpy() for w in saved["average"])))
    tokenizer = Tokenizer.load(os.path.join(args.build, "vocab.json"))

    gguf = Writer()
    gguf.add("general.architecture", STRING, "llama")
    gguf.add("general.type", STRING, "model")
    gguf.add("general.name", STRING, "medley built-in")
    gguf.add("general.description", STRING, "A very small English model: greetings, word explanations, little stories. "
             "Trained by tools/builtin_model of medley on WordNet and on text written for medley.")
    gguf.add("general.license", STRING, "apache-2.0")
    gguf.add("general.license.name", STRING, "Apache-2.0; contains material from WordNet 3.0, Copyright 2006 by Princeton University")
    gguf.add("general.size_label", STRING, "1.3M")
    gguf.add("general.file_type", UINT32, 1)
    gguf.add_array("general.languages", STRING, ["en"])
    gguf.add("llama.vocab_size", UINT32, shape.vocabulary)
    gguf.add("llama.context_length", UINT32, shape.context)
    gguf.add("llama.embedding_length", UINT32, shape.width)
    gguf.add("llama.block_count", UINT32, shape.layers)
    gguf.add("llama.feed_forward_length", UINT32, shape.feed_forward)
    gguf.add("llama.attention.head_count", UINT32, shape.heads)
    gguf.add("llama.attention.head_count_kv", UINT32, shape.kv_heads)
    gguf.add("llama.attention.layer_norm_rms_epsilon", FLOAT32, shape.epsilon)
    gguf.add("llama.rope.dimension_count", UINT32, shape.head)
    gguf.add("llama.rope.freq_base", FLOAT32, shape.rope_base)
    gguf.add("tokenizer.ggml.model", STRING, "llama")
    gguf.add("tokenizer.ggml.pre", STRING, "default")
    gguf.add_array("tokenizer.ggml.tokens", STRING, tokenizer.texts())
    gguf.add_array("tokenizer.ggml.scores", FLOAT32, tokenizer.scores())
    kinds = [UNKNOWN_TOKEN] + [CONTROL_TOKEN] * (FIRST_BYTE - 1) + [BYTE_TOKEN] * 256
    gguf.add_array("tokenizer.ggml.token_type", INT32, kinds + [NORMAL_TOKEN] * (shape.vocabulary - FIRST_PIECE))
    gguf.add("tokenizer.ggml.unknown_token_id", UINT32, UNKNOWN)
    gguf.add("tokenizer.ggml.bos_token_id", UINT32, BOS)
    gguf.add("tokenizer.ggml.eos_token_id", UINT32, IM_END)
    gguf.add("tokenizer.ggml.eot_token_id", UINT32, IM_END)
    gguf.add("tokenizer.ggml.padding_token_id", UINT32, UNKNOWN)
    gguf.add("tokenizer.ggml.add_bos_token", BOOL, False)
    gguf.add("tokenizer.ggml.add_eos_token", BOOL, False)
    gguf.add("tokenizer.ggml.add_space_prefix", BOOL, False)
    gguf.add("tokenizer.chat_template", STRING, CHAT_TEMPLATE)

    gguf.add_tensor("token_embd.weight", weights["embedding"])  # the output shares it
    gguf.add_tensor("output_norm.weight", weights["final_norm"])
    q_rows, kv_rows = shape.heads * shape.head, shape.kv_heads * shape.head
    for i in range(shape.layers):
        layer = {name[len(f"layers.{i}.") :]: w for name, w in weights.items() if name.startswith(f"layers.{i}.")}
        q, k, v = layer["qkv"][:q_rows], layer["qkv"][q_rows : q_rows + kv_rows], layer["qkv"][q_rows + kv_rows :]
        gate, up = layer["gate_up"][: shape.feed_forward], layer["gate_up"][shape.feed_forward :]
        gguf.add_tensor(f"blk.{i}.attn_norm.weight", layer["attention_norm"])
        gguf.add_tensor(f"blk.{i}.attn_q.weight", interleaved(q, shape.heads))
        gguf.add_tensor(f"blk.{i}.attn_k.weight", interleaved(k, shape.kv_heads))
        gguf.add_tensor(f"blk.{i}.attn_v.weight", v)
        gguf.add_tensor(f"blk.{i}.attn_output.weight", layer["out"])
        gguf.add_tensor(f"blk.{i}.ffn_norm.weight", layer["ffn_norm"])
        gguf.add_tensor(f"blk.{i}.ffn_gate.weight", gate)
        gguf.add_tensor(f"blk.{i}.ffn_up.weight", up)
        gguf.add_tensor(f"blk.{i}.ffn_down.weight", layer["down"])
    gguf.write(args.out)
    print(f"{args.out}: {os.path.getsize(args.out)} bytes, step {saved['step']}")


if __name__ == "__main__":
    main()
