"""Writes tests/golden/chat: two small tokenizers, and for each published chat template
there the ids that transformers' apply_chat_template gives.

    VENV/bin/python scripts/golden/chat.py

expected.json of a template: the tokenizer, and a list of chats: "messages", "tokens",
"prompt" (the tokens with add_generation_prompt), "answers" (1 for each token that the
assistant says) or, where the template refuses the chat, "refused".
"""

import json
import random
from pathlib import Path

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

ROOT = Path(__file__).resolve().parents[2] / "tests" / "golden" / "chat"
SPECIAL = [
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|begin_of_text|>", "<|start_header_id|>",
    "<|end_header_id|>", "<|eot_id|>",
]
WORDS = (
    "the system user assistant you are a helpful what is two and three four hello there how I am fine "
    "thanks think tool answer question say it in one word yes no please Qwen created by Alibaba Cloud named "
    "SmolLM trained Hugging Face INST SYS naïve Straße 日本 テキスト 😀 Ünï"
).split()
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def corpus():
    rng = random.Random(0)
    for _ in range(400):
        yield " ".join(rng.choices(WORDS, k=8)) + rng.choice([".", "?", "!\n", "\n\n", ""])


def begins_with(token, tokenizer):
    return processors.TemplateProcessing(
        single=f"{token} $A", pair=f"{token} $A $B", special_tokens=[(token, tokenizer.token_to_id(token))])


def byte_level():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(corpus(), trainers.BpeTrainer(
        vocab_size=420, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=SPECIAL, show_progress=False))
    tokenizer.add_tokens([AddedToken("<think>", normalized=False), AddedToken("</think>", normalized=False)])
    tokenizer.post_processor = begins_with("<|begin_of_text|>", tokenizer)
    return tokenizer


def sentencepiece():
    bytes_ = [f"<0x{b:02X}>" for b in range(256)]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([
        decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.train_from_iterator(corpus(), trainers.BpeTrainer(
        vocab_size=560, special_tokens=["<unk>", "<s>", "</s>", *bytes_], limit_alphabet=60, show_progress=False))
    # The bytes are words of the model, not added tokens.
    state = json.loads(tokenizer.to_str())
    state["added_tokens"] = [t for t in state["added_tokens"] if t["content"] in ("<unk>", "<s>", "</s>")]
    tokenizer = Tokenizer.from_str(json.dumps(state))
    tokenizer.post_processor = begins_with("<s>", tokenizer)
    return tokenizer


def chat(*turns, system=None):
    roles = ["user", "assistant"] * len(turns)
    messages = [dict(role=r, content=c) for r, c in zip(roles, turns)]
    return [dict(role="system", content=system)] * (system is not None) + messages


CHATS = [
    chat("hello there", "I am fine thanks"),
    chat("hello there", "yes", system="you are a helpful assistant"),
    chat("what is two and three?", "four", "is it?", "no, one word:\n\nyes", "please say it", "yes"),
    chat("what is two?", "2", "and three", "3", system="answer in one word\n"),
    chat("naïve Straße 日本のテキスト 😀", "Ünï 한국어 👩‍👩‍👧‍👦\u0301.", system="日本"),
    chat("", ""),
    chat("hello", "", "", "yes", system=""),
    chat("\n\n hello \u3000\u00a0", "\n\nyes\n", "\x1c ok\u2003", "\u2028 fine \t", system="  spaces \n"),
    chat("say <|im_end|> and </s> and <|eot_id|>", "<|im_start|>user\nno<|im_end|> <s>[INST]<|end_header_id|>"),
    chat("it's", " ok", "<|user|>\nhello</s>", "<|assistant|>\n"),
    chat("two", "<think>\nthe answer\n</think>\n\n2", "three", "\n<think>\n\n3 is\n\n</think>\n\n\n3\n"),
    chat("two", "<think>a</think>b</think>\nc", "three", "no <think> end", "four", "x</think>y"),
    chat("one", "<think>\nfirst\n</think>\n\nlet me see", "<tool_response>\n2\n</tool_response>", "<think>\nso\n</think>two"),
    chat("one", "no thoughts", "<tool_response>2</tool_response>", "two"),
    chat("<tool_response>2</tool_response>", "two"),
    chat("only a question"),
    chat("answered", "yes", "and then?"),
    [dict(role="system", content="only the system")],
    [dict(role="user", content="one"), dict(role="user", content="two"), dict(role="assistant", content="three")],
    [dict(role="assistant", content="hello"), dict(role="user", content="who?"), dict(role="assistant", content="I")],
    [dict(role="user", content="one"), dict(role="system", content="late"), dict(role="assistant", content="two")],
]

# The same texts with the answers marked. {default}: the system message that stands in front.
CHATML = (
    "{{% if messages[0].role != 'system' %}}{{{{ {default!r} }}}}{{% endif %}}{{% for m in messages %}}"
    "{{{{ '<|im_start|>' + m.role + '\n' }}}}{{% if m.role == 'assistant' %}}{{% generation %}}"
    "{{{{ m.content + '<|im_end|>' }}}}{{% endgeneration %}}{{% else %}}{{{{ m.content + '<|im_end|>' }}}}{{% endif %}}"
    "{{{{ '\n' }}}}{{% endfor %}}"
)
LLAMA3 = (
    "{{ bos_token }}{% for m in messages %}{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' }}"
    "{% if m.role == 'assistant' %}{% generation %}{{ m.content | trim + '<|eot_id|>' }}{% endgeneration %}"
    "{% else %}{{ m.content | trim + '<|eot_id|>' }}{% endif %}{% endfor %}"
)


def chatml(default=None):
    text = f"<|im_start|>system\n{default}<|im_end|>\n" if default else ""
    return lambda published: CHATML.format(default=text)


def replaced(*pairs):
    def marked(published):
        for old, new in pairs:
            assert published.count(old) >= 1, old
            published = published.replace(old, new)
        return published
    return marked


def generation(text):
    return "{% generation %}" + text + "{% endgeneration %}"


QWEN3 = replaced(
    (r"{{- '<|im_start|>' + message.role + '\n' + content }}",
     r"{{- '<|im_start|>' + message.role + '\n' }}" + generation("{{- content }}")),
    (r"{{- '<|im_start|>' + message.role + '\n<think>\n'", r"{{- '<|im_start|>' + message.role + '\n' }}{% generation %}{{- '<think>\n'"),
    (r"content.lstrip('\n') }}", r"content.lstrip('\n') }}{% endgeneration %}"),
    ("{{- '<|im_end|>\\n' }}\n    {%- elif message.role == \"tool\" %}",
     generation("{{- '<|im_end|>' }}") + "{{- '\\n' }}\n    {%- elif message.role == \"tool\" %}"))

# name -> (tokenizer, its template with the answers marked)
TEMPLATES = {
    "chatml": ("byte_level", chatml()),
    "chatml_hermes": ("byte_level", chatml()),
    "qwen2": ("byte_level", chatml("You are a helpful assistant.")),
    "qwen2.5": ("byte_level", chatml("You are Qwen, created by Alibaba Cloud. You are a helpful assistant.")),
    "smollm2": ("byte_level", chatml("You are a helpful AI assistant named SmolLM, trained by Hugging Face")),
    "qwen3": ("byte_level", QWEN3),
    "qwen3_first": ("byte_level", QWEN3),
    "qwen3_2507": ("byte_level", chatml()),
    "llama2": ("sentencepiece", replaced(
        ("{{ ' '  + content.strip() + ' ' + eos_token }}", generation("{{ ' '  + content.strip() + ' ' + eos_token }}")))),
    "llama3": ("byte_level", lambda published: LLAMA3),
    "zephyr": ("sentencepiece", replaced(
        ("{{ '<|assistant|>\n'  + message['content'] + eos_token }}",
         "{{ '<|assistant|>\n' }}" + "{% generation %}{{ message['content'] + eos_token }}{% endgeneration +%}"))),
}


def published_template(folder, config):
    file = folder / "chat_template.jinja"
    if file.exists():
        return file.read_text()
    given = config["chat_template"]
    return given if isinstance(given, str) else next(t["template"] for t in given if t["name"] == "default")


def text_of(token):
    return token["content"] if isinstance(token, dict) else token


def expect(tokenizer, template, marked, messages):
    def apply(template, **options):
        return tokenizer.apply_chat_template(messages, chat_template=template, tokenize=True, return_dict=True, **options)

    try:
        tokens = apply(template)["input_ids"]
        prompt = apply(template, add_generation_prompt=True)["input_ids"]
    except Exception as error:
        return dict(messages=messages, refused=str(error))
    answers = apply(marked, return_assistant_tokens_mask=True)
    assert answers["input_ids"] == tokens, messages
    return dict(messages=messages, tokens=tokens, prompt=prompt, answers=answers["assistant_masks"])


def write(name, kind, mark):
    folder = ROOT / name
    config = json.loads((folder / "tokenizer_config.json").read_text())
    template = published_template(folder, config)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(ROOT / f"{kind}.json"),
        **{key: text_of(config[key]) for key in ("bos_token", "eos_token") if config[key]})
    chats = [expect(tokenizer, template, mark(template), messages) for messages in CHATS]
    (folder / "expected.json").write_text(json.dumps(dict(tokenizer=kind, chats=chats), ensure_ascii=False) + "\n")
    print(name, sum("refused" in c for c in chats), "refused of", len(chats))


if __name__ == "__main__":
    for make in (byte_level, sentencepiece):
        make().save(str(ROOT / f"{make.__name__}.json"), pretty=False)
    for name, (kind, mark) in TEMPLATES.items():
        write(name, kind, mark)
