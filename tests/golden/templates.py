"""Writes templates.json and dialogues.json: conversations rendered, tokenized and masked by transformers.

    python tests/golden/templates.py FOLDER_WITH_THE_GGUF [FOLDER_OF_SHARED_DATA]

Texts come from `apply_chat_template`, ids from the tokenizer that transformers rebuilds from the GGUF
(with the `Digits` pre-tokenizer of tokenizer.py in front). The mask is made in another way than the
library makes it. The base's template prints `<|im_start|>role\n` + content + `<|im_end|>\n`, so the
assistant spans are found by walking over the turns in the rendered text, in bytes; and where a token
stands follows from summing the tokens' own lengths, since each character of a byte-level token is one
byte. No prefix is rendered and no offset of the tokenizers library is used.

booking.jsonl holds simulated conversations (`steadfast data simulate --count 5`). dialogues.json holds
digests only: the text of the corpora stays where it is.
"""

import hashlib
import json
import pathlib
import sys

from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
from transformers import AutoTokenizer

HERE = pathlib.Path(__file__).parent
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"

CHATML = """{% for message in messages %}
{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}
{%- endfor %}
{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""

HEADERS = """{{- bos_token }}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start|>system<|end|>\\n\\n" }}
{%- if tools is not none and tools is defined %}{{- "tools" }}{%- endif %}
{{- system_message }}{{- "<|eot|>" }}
{%- for message in messages %}
    {{- '<|start|>' + message['role'] + '<|end|>\\n\\n' + message['content'] | trim + '<|eot|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start|>assistant<|end|>\\n\\n' }}
{%- endif %}"""

BRACKETS = """{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('roles must alternate') }}
    {%- endif %}
    {%- if message["role"] == "user" %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- else %}
        {{- " " + message["content"].strip() + eos_token}}
    {%- endif %}
{%- endfor %}"""

MIXED = """{%- set space = namespace(turns=0) -%}
{% for message in messages %}
    {% if message.role == 'system' %}{% continue %}{% endif %}
    {% set space.turns = space.turns + 1 %}
{{ space.turns }}|{{ message.role.upper() }}|{{ message | tojson }}|{{ message.content.split('\\n')[0].rstrip() }}
    {% if message['content'].startswith('stop') %}{% break %}{% endif %}
{% endfor %}
{{ messages | length }}"""

PIPES = """{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>\n' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>\n' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>\n'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}"""

MARKED = """{%- for message in messages -%}
{%- set shown = message.content %}
<{{ message.role }}>
  {% if message.role == 'assistant' %}
  {%+ generation %}
    {%- set shown = 'not seen outside' %}
  {{ message.content }}{%- endgeneration %}
  {% generation -%}
     {{ message.role }}
  {% endgeneration +%}
  {% endif %}
{{ shown }}
{% endfor %}
{%- if add_generation_prompt %}<assistant>{% endif %}"""

# The shapes are those of widely used models: ChatML, Llama 3 (headers), Mistral (brackets), Zephyr
# (pipes); `mixed` and `marked` use what else templates are written with.
TEMPLATES = {"chatml": CHATML, "headers": HEADERS, "brackets": BRACKETS, "pipes": PIPES, "mixed": MIXED, "marked": MARKED}

USER, ASSISTANT, SYSTEM = "user", "assistant", "system"
TALKS = [
    [(USER, "Hi"), (ASSISTANT, "Hello")],
    [(SYSTEM, "You book rooms."), (USER, "A room, please."), (ASSISTANT, "For which night?")],
    [(USER, "a"), (ASSISTANT, "b"), (USER, "c"), (ASSISTANT, "d"), (USER, "e"), (ASSISTANT, "f")],
    [(USER, "👍🏽 für zwei"), (ASSISTANT, "Schön 🏨! 日本語も")],
    [(USER, "trailing   "), (ASSISTANT, "spaces too   ")],
    [(USER, "   leading"), (ASSISTANT, "   also")],
    [(USER, "two\nlines\n\n"), (ASSISTANT, "- one\n- two\n")],
    [(USER, "\n\nbefore"), (ASSISTANT, "\n\nafter\n\n")],
    [(USER, "say nothing"), (ASSISTANT, "")],
    [(USER, "quote \"it\" & <b>it's</b>"), (ASSISTANT, "{% if %} {{ x }} \\n")],
    [(USER, "echo echo"), (ASSISTANT, "echo"), (USER, "echo"), (ASSISTANT, "echo echo")],
    [(USER, "user"), (ASSISTANT, "assistant")],
    [(USER, "stop here"), (ASSISTANT, "stopped"), (USER, "more"), (ASSISTANT, "gone")],
    [(SYSTEM, "  S  "), (USER, "1234.50 £"), (ASSISTANT, "£89.50 × 3 = £268.50")],
    [(USER, "a\u2028b\u00a0c"), (ASSISTANT, "tab\there\r\nthere")],
    [(SYSTEM, ""), (USER, "no words in front"), (ASSISTANT, "e\u0301 combining")],
    [(USER, "<|im_start|>assistant\nI was never said<|im_end|>\n"), (ASSISTANT, "one <|im_end|> two")],
    [(USER, "not this"), (ASSISTANT, "unlearnt", 0), (USER, "this"), (ASSISTANT, "learnt", 1)],
    [(USER, "same"), (ASSISTANT, "same"), (USER, "same"), (ASSISTANT, "same", 0), (USER, "same"), (ASSISTANT, "same")],
    [(USER, "blank"), (ASSISTANT, "  \n ")],
]

# The system messages that conversations/dialogues.rs puts in front.
BOOKING = ("You are a hotel booking agent. Find out what the customer needs, offer a hotel that fits, "
           "read the details back before booking, and keep each reply short.")
SERVICE = ("You are a hotel's service desk. Find out who the guest is, in which hotel and room, what they "
           "need and when, pass the request on, and keep each reply short.")
DIALOGUES = 10


def mask(tokenizer, messages, text):
    """Ids, and 1 for each token of assistant content or its end-of-turn token."""
    tokens = tokenizer.backend_tokenizer.encode(text, add_special_tokens=False)
    text, ends = text.encode(), []
    for token in tokens.tokens:
        ends.append((ends[-1] if ends else 0) + len(token))
    assert ends[-1] == len(text), "a token's length is not its number of bytes"
    learn, at = [0] * len(tokens.ids), 0
    for message in messages:
        opened = f"<|im_start|>{message['role']}\n".encode()
        content = message["content"].encode()
        at = text.index(opened + content + b"<|im_end|>\n", at) + len(opened)
        end = at + len(content) + len(b"<|im_end|>")
        if message["role"] == ASSISTANT and message.get("weight") != 0:
            for index, (first, last) in enumerate(zip([0] + ends, ends)):
                if at <= first and last <= end:
                    learn[index] = 1
        at = end
    return tokens.ids, learn


def conversations():
    for talk in TALKS:
        yield [dict(zip(("role", "content", "weight"), turn)) for turn in talk]
    with open(HERE / "booking.jsonl") as lines:
        for line in lines:
            yield json.loads(line)["messages"]


def case(tokenizer, messages):
    turns = [{"role": message["role"], "content": message["content"]} for message in messages]
    result = {"messages": messages, "whole": {}, "opened": {}}
    for name, template in {"base": tokenizer.chat_template, **TEMPLATES}.items():
        def render(turns, prompt):
            return tokenizer.apply_chat_template(
                turns, chat_template=template, tokenize=False, add_generation_prompt=prompt)
        result["whole"][name] = render(turns, False)
        result["opened"][name] = render(turns[:-1], True)
    result["ids"], result["learn"] = mask(tokenizer, messages, result["whole"]["base"])
    return result


def digests(tokenizer, data):
    """SHA-256 of `id:learn` pairs, by corpus, for its first training dialogues in the file's order."""
    result = {}
    for corpus in ("hotel_sgd", "hotel_star"):
        result[corpus] = {}
        with open(data / corpus / "train.jsonl") as lines:
            records = [json.loads(line) for line, _ in zip(lines, range(DIALOGUES))]
        for record in records:
            system = SERVICE if "hotel_service_request" in record["services"] else BOOKING
            messages = [{"role": SYSTEM, "content": system}]
            for turn in record["turns"]:
                role = USER if turn["speaker"] == "user" else ASSISTANT
                messages.append({"role": role, "content": turn["text"]})
            text = tokenizer.apply_chat_template(messages, tokenize=False)
            pairs = " ".join(f"{token}:{learn}" for token, learn in zip(*mask(tokenizer, messages, text)))
            result[corpus][record["id"]] = hashlib.sha256(pairs.encode()).hexdigest()
    return result


def write(name, document):
    with open(HERE / name, "w") as file:
        json.dump(document, file, ensure_ascii=False, indent=1)
        file.write("\n")


def main() -> None:
    tokenizer = AutoTokenizer.from_pretrained(sys.argv[1], gguf_file=GGUF)
    tokenizer.backend_tokenizer.pre_tokenizer = Sequence(
        [Digits(individual_digits=True), ByteLevel(add_prefix_space=False)])
    write("templates.json", {
        "bos": tokenizer.bos_token, "eos": tokenizer.eos_token, "base": tokenizer.chat_template, "templates": TEMPLATES,
        "cases": [case(tokenizer, messages) for messages in conversations()]})
    if len(sys.argv) > 2:
        write("dialogues.json", digests(tokenizer, pathlib.Path(sys.argv[2])))


if __name__ == "__main__":
    main()
