"""Writes templates.json: conversations rendered, tokenized and masked by transformers.

    python tests/golden/templates.py [FOLDER WITH THE GGUF] > tests/golden/templates.json

Texts come from apply_chat_template. The mask of the default base's own template is made in another
way than the library makes it: its template prints `<|im_start|>role\n` + content + `<|im_end|>\n`,
so each assistant span is found by walking over the turns in the text from left to right.
"""

import json
import os
import sys

from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
from transformers import AutoTokenizer

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
]


def mask(tokenizer, messages, text):
    """Ids, and 1 for each token of assistant content or its end-of-turn token."""
    encoding = tokenizer.backend_tokenizer.encode(text, add_special_tokens=False)
    learn = [0] * len(encoding.ids)
    at = 0
    for message in messages:
        opened = f"<|im_start|>{message['role']}\n"
        at = text.index(opened + message["content"] + "<|im_end|>\n", at) + len(opened)
        end = at + len(message["content"]) + len("<|im_end|>")
        if message["role"] == ASSISTANT:
            for index, (first, last) in enumerate(encoding.offsets):
                if at <= first and last <= end and first < last:
                    learn[index] = 1
        at = end
    return encoding.ids, learn


def main() -> None:
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.expanduser("~/.cache/steadfast/models")
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file="SmolLM2-135M-Instruct.Q4_1.gguf")
    backend = tokenizer.backend_tokenizer
    backend.pre_tokenizer = Sequence([Digits(individual_digits=True), ByteLevel(add_prefix_space=False)])
    tokenizer.bos_token, tokenizer.eos_token = "<|im_start|>", "<|im_end|>"
    templates = {"base": tokenizer.chat_template, "chatml": CHATML, "headers": HEADERS, "brackets": BRACKETS, "mixed": MIXED}
    cases = []
    for talk in TALKS:
        messages = [{"role": role, "content": content} for role, content in talk]
        case = {"messages": messages, "whole": {}, "opened": {}}
        for name, template in templates.items():
            render = lambda turns, prompt: tokenizer.apply_chat_template(
                turns, chat_template=template, tokenize=False, add_generation_prompt=prompt)
            case["whole"][name] = render(messages, False)
            case["opened"][name] = render(messages[:-1], True)
        case["ids"], case["learn"] = mask(tokenizer, messages, case["whole"]["base"])
        cases.append(case)
    document = {"templates": {name: text for name, text in templates.items() if name != "base"}, "cases": cases}
    json.dump(document, sys.stdout, ensure_ascii=False, indent=1)
    print()


if __name__ == "__main__":
    main()
