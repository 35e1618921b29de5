"""For chats.py: the chat formats of the supported families, as Jinja templates.

They are written for this test, in the forms that the families document and with the Jinja that their published
templates use. `{% generation %}` stands around what the assistant says and around what ends its turn, and
nothing else, so that transformers' own mask says what is to be learnt; `published` takes the marks out again.
"""

import re

LLAMA2 = r"""
{%- if messages[0]['role'] == 'system' -%}
    {%- set order = '<<SYS>>\n' + messages[0]['content'] + '\n<</SYS>>\n\n' -%}
    {%- set turns = messages[1:] -%}
{%- else -%}
    {%- set order = '' -%}
    {%- set turns = messages -%}
{%- endif -%}
{%- for turn in turns -%}
    {%- if (turn['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception('user and assistant must take turns') }}
    {%- endif -%}
    {%- if turn['role'] == 'user' -%}
        {%- set words = order ~ turn['content'] if loop.first else turn['content'] -%}
        {{ bos_token + '[INST] ' + words.strip() + ' [/INST]' }}
    {%- else -%}
        {{ ' ' }}{% generation %}{{ turn['content'].strip() }}{% endgeneration %}{{ ' ' }}{% generation %}{{ eos_token }}{% endgeneration %}
    {%- endif -%}
{%- endfor -%}
"""

LLAMA3 = r"""{{- bos_token }}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "1 Jul 2024" %}
    {%- endif %}
{%- endif %}
{%- macro opened(role) %}{{- '<|start_header_id|>' + role + '<|end_header_id|>\n\n' }}{%- endmacro %}

{#- What the system says stands with the date, whether there is any of it or not. #}
{%- if messages[0]['role'] == 'system' %}
    {%- set order = messages[0]['content'] | trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set order = "" %}
{%- endif %}
{{- opened('system') }}
{%- if tools is not none %}
    {{- "Environment: ipython\n" }}
{%- endif %}
{{- "Cutting Knowledge Date: December 2023\nToday Date: " + date_string + "\n\n" + order + "<|eot_id|>" }}

{%- if tools is not none %}
    {%- if messages | length == 0 %}
        {{- raise_exception("There is no first message to stand the tools before.") }}
    {%- endif %}
    {{- opened('user') + "Answer with a call of one of these functions, as JSON:\n\n" }}
    {%- for tool in tools %}
        {{- tool | tojson(indent=4) + "\n\n" }}
    {%- endfor %}
    {{- messages[0]['content'] | trim + "<|eot_id|>" }}
    {%- set messages = messages[1:] %}
{%- endif %}
{%- for message in messages %}
    {%- if 'tool_calls' in message %}
        {%- if message.tool_calls | length != 1 %}
            {{- raise_exception("Only one call at a time is known here.") }}
        {%- endif %}
        {%- set call = message.tool_calls[0].function %}
        {{- opened('assistant') + '{"name": "' + call.name + '", "parameters": ' + call.arguments | tojson + '}<|eot_id|>' }}
    {%- elif message.role == 'tool' or message.role == 'ipython' %}
        {{- opened('ipython') }}
        {%- if message.content is mapping or message.content is iterable %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|eot_id|>" }}
    {%- elif message.role == 'assistant' %}
        {{- opened('assistant') }}{% generation %}{{- message['content'] | trim }}{% endgeneration %}{% generation %}{{- '<|eot_id|>' }}{% endgeneration %}
    {%- else %}
        {{- opened(message['role']) + message['content'] | trim + '<|eot_id|>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- opened('assistant') }}
{%- endif %}
"""

MISTRAL = r"""{%- if messages[0]["role"] == "system" %}
    {%- set order = messages[0]["content"] %}
    {%- set turns = messages[1:] %}
{%- else %}
    {%- set turns = messages %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}
{%- set asked = turns | selectattr("role", "equalto", "user") | list %}
{#- Calls of tools and their results stand between the turns that have to alternate. #}
{%- set count = namespace(turns=0) %}
{%- for message in turns %}
    {%- if not (message.role == "tool" or message.role == "tool_results" or (message.tool_calls is defined and message.tool_calls is not none)) %}
        {%- if (message["role"] == "user") != (count.turns % 2 == 0) %}
            {{- raise_exception("After an optional system message, user and assistant must take turns: user, assistant, ...") }}
        {%- endif %}
        {%- set count.turns = count.turns + 1 %}
    {%- endif %}
{%- endfor %}
{{- bos_token }}
{%- for message in turns %}
    {%- if message["role"] == "user" %}
        {%- if tools is not none and (message == asked[-1]) %}
            {{- "[AVAILABLE_TOOLS] [" }}
            {%- for tool in tools %}
                {%- set tool = tool.function %}
                {{- '{"type": "function", "function": {' }}
                {%- for key, value in tool.items() if key != "return" %}
                    {%- if value is string %}
                        {{- '"' + key + '": "' + value + '"' }}
                    {%- else %}
                        {{- '"' + key + '": ' + value | tojson }}
                    {%- endif %}
                    {%- if not loop.last %}{{- ", " }}{%- endif %}
                {%- endfor %}
                {{- "}}" }}{%- if not loop.last %}{{- ", " }}{%- endif %}
            {%- endfor %}
            {{- "][/AVAILABLE_TOOLS]" }}
        {%- endif %}
        {%- if loop.last and order is defined %}
            {{- "[INST] " + order + "\n\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message.tool_calls is defined and message.tool_calls is not none %}
        {{- "[TOOL_CALLS] [" }}
        {%- for call in message.tool_calls %}
            {%- if not call.id is defined or call.id | length != 9 %}
                {{- raise_exception("The id of a call has nine letters or digits.") }}
            {%- endif %}
            {%- set written = call.function | tojson %}
            {{- written[:-1] + ', "id": "' + call.id + '"}' + (", " if not loop.last else "]" + eos_token) }}
        {%- endfor %}
    {%- elif message["role"] == "assistant" %}
        {{- " " }}{% generation %}{{- message["content"].strip() }}{% endgeneration %}{% generation %}{{- eos_token }}{% endgeneration %}
    {%- elif message["role"] == "tool_results" or message["role"] == "tool" %}
        {%- set content = message.content.content if message.content is mapping and message.content.content is defined else message.content %}
        {{- '[TOOL_RESULTS] {"content": ' + content | string + ', "call_id": "' + message.tool_call_id + '"}[/TOOL_RESULTS]' }}
    {%- else %}
        {{- raise_exception("The roles are user and assistant, after one system message.") }}
    {%- endif %}
{%- endfor %}
"""

# Qwen 2.5 and 3 begin alike, and show tools and their answers alike.
QWEN_BEGINNING = r"""{%- if tools %}
    {{- '<|im_start|>system\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\n\n' }}
    {%- endif %}
    {{- "# Tools\n\nThese functions may be called:\n<tools>" }}
    {%- for tool in tools %}
        {{- "\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\n</tools>\n\nAnswer with <tool_call></tool_call> around JSON with a name and arguments.<|im_end|>\n" }}
{%- elif messages[0].role == 'system' %}
    {{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}
{%- DEFAULT %}{%- endif %}
"""
QWEN_TOOL = r"""{%- elif message.role == "tool" %}
        {%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\n<tool_response>\n' }}
        {{- message.content }}
        {{- '\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|im_end|>\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
"""

QWEN2 = QWEN_BEGINNING.replace("DEFAULT", r"""else %}
    {{- '<|im_start|>system\nYou are a helpful assistant, made for this test.<|im_end|>\n' }}
""") + r"""{%- for message in messages %}
    {%- if message.role == "assistant" and not message.tool_calls %}
        {{- '<|im_start|>assistant\n' }}{% generation %}{{- message.content }}{% endgeneration %}{% generation %}{{- '<|im_end|>' }}{% endgeneration %}{{- '\n' }}
    {%- elif (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}
    {%- elif message.role == "assistant" %}
        {{- '<|im_start|>' + message.role }}
        {%- if message.content %}
            {{- '\n' + message.content }}
        {%- endif %}
        {%- for tool_call in message.tool_calls %}
            {%- if tool_call.function is defined %}
                {%- set tool_call = tool_call.function %}
            {%- endif %}
            {{- '\n<tool_call>\n{"name": "' }}
            {{- tool_call.name }}
            {{- '", "arguments": ' }}
            {{- tool_call.arguments | tojson }}
            {{- '}\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\n' }}
    """ + QWEN_TOOL + r"""{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{%- endif %}
"""

QWEN3 = QWEN_BEGINNING.replace("{%- DEFAULT %}", "") + r"""{#- Thoughts stay only after the last question that no tool has answered. #}
{%- set space = namespace(searching=true, last_question=messages | length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages | length - 1) - loop.index0 %}
    {%- if space.searching and message.role == "user" and message.content is string and not (message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set space.searching = false %}
        {%- set space.last_question = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\n' + content + '<|im_end|>' + '\n' }}
    {%- elif message.role == "assistant" %}
        {%- set thoughts = '' %}
        {%- if message.reasoning_content is string %}
            {%- set thoughts = message.reasoning_content %}
        {%- elif '</think>' in content %}
            {%- set thoughts = content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\n') %}
        {%- endif %}
        {{- '<|im_start|>assistant\n' }}
        {%- if loop.index0 > space.last_question and (loop.last or thoughts) %}
            {%- if thoughts %}
                {% generation %}{{- '<think>\n' + thoughts.strip('\n') + '\n</think>\n\n' + content.lstrip('\n') }}{% endgeneration %}
            {%- else %}
                {{- '<think>\n\n</think>\n\n' }}{% generation %}{{- content.lstrip('\n') }}{% endgeneration %}
            {%- endif %}
        {%- else %}
            {% generation %}{{- content }}{% endgeneration %}
        {%- endif %}
        {%- for tool_call in message.tool_calls or [] %}
            {%- if (loop.first and content) or not loop.first %}
                {{- '\n' }}
            {%- endif %}
            {%- set called = tool_call.function or tool_call %}
            {{- '<tool_call>\n{"name": "' + called.name + '", "arguments": ' }}
            {{- called.arguments if called.arguments is string else called.arguments | tojson }}
            {{- '}\n</tool_call>' }}
        {%- endfor %}
        {% generation %}{{- '<|im_end|>' }}{% endgeneration %}{{- '\n' }}
    """ + QWEN_TOOL + r"""{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\n\n</think>\n\n' }}
    {%- endif %}
{%- endif %}
"""

SMOLLM2 = r"""{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system
You are a helpful assistant, made for this test.<|im_end|>
' }}{% endif %}{{ '<|im_start|>' + message['role'] + '
' }}{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] }}{% endgeneration %}{% generation %}{{ '<|im_end|>' }}{% endgeneration %}{% else %}{{ message['content'] + '<|im_end|>' }}{% endif %}{{ '
' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant
' }}{% endif %}"""

SMOLLM3 = r"""{# What is not said otherwise. #}
{%- if enable_thinking is not defined -%}
{%- set enable_thinking = true -%}
{%- endif -%}
{%- set mode = "/think" if enable_thinking else "/no_think" -%}
{%- if messages[0].role == "system" -%}
  {%- set order = messages[0].content -%}
  {%- if "/no_think" in order -%}
    {%- set mode = "/no_think" -%}
  {%- elif "/think" in order -%}
    {%- set mode = "/think" -%}
  {%- endif -%}
  {%- set instructions = order.replace("/no_think", "").replace("/think", "").rstrip() -%}
{%- endif -%}
{%- set today = strftime_now("%d %B %Y") -%}
{{- "<|im_start|>system\n" -}}
{%- if order is defined and "/system_override" in order -%}
  {{- instructions.replace("/system_override", "").rstrip() + "<|im_end|>\n" -}}
{%- else -%}
  {{- "## Metadata\n\nKnowledge Cutoff Date: June 2025\n" -}}
  {{- "Today Date: " ~ today ~ "\nReasoning Mode: " + mode + "\n\n## Custom Instructions\n\n" -}}
  {%- if instructions -%}
    {{- instructions + "\n\n" -}}
  {%- else -%}
    {{- "You are a helpful assistant, made for this test.\n\n" -}}
  {%- endif -%}
  {%- if xml_tools or python_tools or tools -%}
    {{- "### Tools\n\n" -}}
    {%- set shown = namespace(tools="One JSON object a line, within <tools>:\n\n<tools>\n") -%}
    {%- for tool in xml_tools or tools -%}
      {%- set shown.tools = shown.tools ~ (tool | string) ~ "\n" -%}
    {%- endfor -%}
    {{- shown.tools + "</tools>\n\n" -}}
  {%- endif -%}
  {{- "<|im_end|>\n" -}}
{%- endif -%}
{%- for message in messages -%}
  {%- set content = message.content if message.content is string else "" -%}
  {%- if message.role == "user" -%}
    {{ "<|im_start|>" + message.role + "\n" + content + "<|im_end|>\n" }}
  {%- elif message.role == "assistant" -%}
    {{ "<|im_start|>assistant\n" + ("<think>\n\n</think>\n" if mode == "/no_think" else "") }}{% generation %}{{ content.lstrip("\n") }}{% endgeneration %}{% generation %}{{ "<|im_end|>" }}{% endgeneration %}{{ "\n" }}
  {%- elif message.role == "tool" -%}
    {{ "<|im_start|>" + "user\n" + content + "<|im_end|>\n" }}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
  {%- if mode == "/think" -%}
    {{ "<|im_start|>assistant\n" }}
  {%- else -%}
    {{ "<|im_start|>assistant\n" + "<think>\n\n</think>\n" }}
  {%- endif -%}
{%- endif -%}
"""

PHI3 = r"""{% for message in messages %}{% if message['role'] == 'system' %}{{ '<|system|>\n' + message['content'] + '<|end|>\n' }}{% elif message['role'] == 'user' %}{{ '<|user|>\n' + message['content'] + '<|end|>\n' }}{% elif message['role'] == 'assistant' %}{{ '<|assistant|>\n' }}{% generation %}{{ message['content'] }}{% endgeneration %}{% generation %}{{ '<|end|>' }}{% endgeneration %}{{ '\n' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"""

OLMO2 = r"""{{ bos_token }}{% for message in messages %}
{% if message['role'] == 'system' %}
{{ '<|system|>
' + message['content'] + '
' }}
{% elif message['role'] == 'user' %}
{{ '<|user|>
' + message['content'] + '
' }}
{% elif message['role'] == 'assistant' %}
{% if not loop.last %}
{{ '<|assistant|>
' }}{% generation %}{{ message['content'] }}{% endgeneration %}{% generation %}{{ eos_token }}{% endgeneration %}{{ '
' }}
{% else %}
{{ '<|assistant|>
' }}{% generation %}{{ message['content'] }}{% endgeneration %}{% generation %}{{ eos_token }}{% endgeneration %}{{ '' }}
{% endif %}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>
' }}
{% endif %}
{% endfor %}"""

GEMMA = r"""{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('No system role here') }}{% endif %}
{%- for message in messages %}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('user and model must take turns') }}
    {%- endif %}
    {%- set role = 'model' if message['role'] == 'assistant' else message['role'] %}
    {{- '<start_of_turn>' + role + '\n' }}
    {%- if role == 'model' %}{% generation %}{{- message['content'] | trim }}{% endgeneration %}{% generation %}{{- '<end_of_turn>' }}{% endgeneration %}{{- '\n' }}
    {%- else %}{{- message['content'] | trim + '<end_of_turn>\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<start_of_turn>model\n' }}{% endif %}"""

GEMMA3 = r"""{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- if messages[0]['content'] is string -%}
        {%- set before = messages[0]['content'] + '\n\n' -%}
    {%- else -%}
        {%- set before = messages[0]['content'][0]['text'] + '\n\n' -%}
    {%- endif -%}
    {%- set turns = messages[1:] -%}
{%- else -%}
    {%- set before = "" -%}
    {%- set turns = messages -%}
{%- endif -%}
{%- for message in turns -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception("user and assistant must take turns") }}
    {%- endif -%}
    {%- if message['role'] == 'assistant' -%}
        {{ '<start_of_turn>model\n' }}{% generation %}{{ message['content'] | trim }}{% endgeneration %}{% generation %}{{ '<end_of_turn>' }}{% endgeneration %}{{ '\n' }}
    {%- else -%}
        {{ '<start_of_turn>' + message['role'] + '\n' + (before if loop.first else "") }}
        {%- if message['content'] is string -%}
            {{ message['content'] | trim }}
        {%- elif message['content'] is iterable -%}
            {%- for item in message['content'] if item['type'] == 'text' -%}
                {{ item['text'] | trim }}
            {%- endfor -%}
        {%- else -%}
            {{ raise_exception("Words, or a list of parts") }}
        {%- endif -%}
        {{ '<end_of_turn>\n' }}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{ '<start_of_turn>model\n' }}
{%- endif -%}
"""

# RedPajama's format is two names and line ends; nothing stands at the end of a turn.
GPT_NEOX = r"""{%- set names = {'user': '<human>', 'assistant': '<bot>'} -%}
{%- for message in messages -%}
    {%- if message.role not in names -%}{% continue %}{%- endif -%}
    {{- names[message.role] ~ ': ' -}}
    {%- if message.role == 'assistant' -%}{% generation %}{{- message.content -}}{% endgeneration %}
    {%- else -%}{{- message.content -}}{%- endif -%}
    {{- '\n' -}}
    {%- if message.content.lower().startswith('stop here') -%}{% break %}{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<bot>:' -}}{%- endif -%}
"""


def published(template: str) -> str:
    return re.sub(r"\{% (end)?generation %\}", "", template)
