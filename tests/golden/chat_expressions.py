"""For chats.py: what chat templates are written with, as far as those of chat_templates.py leave it out.

Two things are left out because steadfast's engine has them otherwise: `'%s' % value`, which it refuses (the
filter `format` it knows), and invisible letters beyond ASCII in a list that is printed whole, which it does
not escape.
"""

EXPRESSIONS = [
    r"""{{ ' \x1fa b\x1c '.strip() }}|{{ ' a '.lstrip() }}|{{ ' a '.rstrip() }}|{{ 'xyaxy'.strip('yx') }}|{{ '\x1d a '|trim }}|{{ 'abc'|trim('c') }}""",
    r"""{{ ' a\x1eb  c '.split() }}|{{ 'a,b,,c'.split(',') }}|{{ 'a,b,c'.split(',', 1) }}|{{ 'a,b,c'.rsplit(',', 1) }}|{{ 'a  b c'.split(' ') }}""",
    r"""{{ 'a=b=c'.partition('=') }}|{{ 'a=b=c'.rpartition('=') }}|{{ 'a'.partition('=') }}|{{ 'a'.rpartition('=') }}""",
    r"""{{ 'a\nb\r\nc\x0cd\u2028e\n'.splitlines() }}|{{ ''.splitlines() }}|{{ 'a\n\nb'.splitlines() }}|{{ 'a\nb'.splitlines(true) }}""",
    r"""{{ 'abab'.removeprefix('ab') }}|{{ 'abab'.removesuffix('ab') }}|{{ 'x'.removeprefix('ab') }}""",
    r"""{{ 'hello World'.upper() }}|{{ 'ÄB'.lower() }}|{{ 'hello World'.title() }}|{{ 'hello World'.capitalize() }}|{{ 'abcabc'.replace('b', 'x', 1) }}""",
    r"""{{ 'abc'.find('c') }}|{{ 'abcb'.rfind('b') }}|{{ 'abab'.count('ab') }}|{{ 'abc'.startswith(('x', 'a')) }}|{{ ', '.join(['a', 'b']) }}|{{ '{} {}'.format(1, 'b') }}""",
    r"""{{ 'abc'[::-1] }}|{{ 'abcdef'[1:-1] }}|{{ 'abcdef'[-2:] }}|{{ [1, 2, 3][::-1] }}|{{ [1, 2, 3][1:] }}|{{ messages[-1].role }}|{{ messages[::-1][0].content }}""",
    r"""{{ none }}|{{ true }}|{{ false }}|{{ 1.0 }}|{{ 2.5 }}|{{ 10 // 3 }}|{{ 7 / 2 }}|{{ 2 ** 3 }}|{{ 1 ~ none ~ true }}|{{ nothing }}""",
    r"""{{ ['a', 1, none, true, 1.5] }}|{{ {'a': [1], 'b': {'c': 'd'}} }}|{{ ('a', 'b') }}|{{ ('a',) }}|{{ messages[0] }}""",
    r"""{{ ["it's", 'a "b"', "it's \"b\""] }}|{{ ['x\n\ty\\', 'é👍', '\x00\x7f'] }}""",
    r"""{{ {'b': 1, 'a': [1, 'é<&>\u2028']} | tojson }}|{{ {'b': 1, 'a': 2} | tojson(sort_keys=true) }}|{{ 'é👍\x7f' | tojson(ensure_ascii=true) }}|{{ 'é' | tojson(ensure_ascii=false) }}""",
    r"""{{ [1, {'a': [], 'b': {}}] | tojson(indent=2) }}|{{ [1, {'a': 2}] | tojson(separators=(',', ':')) }}|{{ [1] | tojson(indent=0) }}|{{ [1, 2] | tojson(indent=1, separators=(', ', ':')) }}|{{ [none, true, 1.5, 'a\n\x01"\\/'] | tojson }}""",
    r"""{{ 'a' is string }}|{{ 'a' is iterable }}|{{ {} is mapping }}|{{ {} is iterable }}|{{ [] is sequence }}|{{ 1 is number }}|{{ none is none }}|{{ nothing is defined }}|{{ [] is string }}|{{ none is iterable }}|{{ nothing is iterable }}""",
    r"""{{ 'a' is sequence }}|{{ {} is sequence }}|{{ {}.keys() is sequence }}""",
    r"""{{ true is true }}|{{ 1 is true }}|{{ false is false }}|{{ true is boolean }}|{{ 3 is odd }}|{{ 'a' in 'abc' }}|{{ 'a' not in ['a'] }}|{{ 'a' in {'a': 1} }}|{{ 1 is eq(1) }}|{{ 'b' is in(['b']) }}""",
    r"""{{ tools is defined }}|{{ tools is none }}|{{ documents is none }}|{{ bos_token is defined }}|{{ enable_thinking is defined }}|{{ not tools }}|{{ bos_token }}""",
    r"""{{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | join('+') }}|{{ messages | rejectattr('role', 'eq', 'user') | list | length }}|{{ messages | map(attribute='role') | unique | join }}""",
    r"""{{ [3, 1, 2] | sort | first }}|{{ [3, 1] | last }}|{{ [1, 2] | sum }}|{{ 'a' | default('b') }}|{{ nothing | default('b') }}|{{ '' | default('b', true) }}|{{ [1, 2] | reverse | list }}|{{ 'ab' | list }}""",
    r"""{{ {'b': 1, 'a': 2} | dictsort }}|{{ {'a': 1}.items() | list }}|{{ {'a': 1}.get('b', 'c') }}|{{ {'a': 1}.get('b') }}|{{ {'a': 1}.keys() | list }}|{{ dict(a=1).a }}|{{ {'a': 1} | items | list }}""",
    r"""{% for m in messages %}{{ loop.index }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.previtem.role if not loop.first }}{{ loop.nextitem.role if not loop.last }}{{ loop.cycle('x', 'y') }};{% else %}none{% endfor %}""",
    r"""{% for m in messages if m.role == 'user' %}{{ loop.index }}{{ m.content }}{% endfor %}|{% for k, v in {'a': 1}.items() %}{{ k }}{{ v }}{% endfor %}|{% for x in [] %}{% else %}empty{% endfor %}""",
    r"""{% set ns = namespace(n=0, l=[]) %}{% for x in range(3) %}{% set ns.n = ns.n + x %}{% set ns.l = ns.l + [x] %}{% endfor %}{{ ns.n }}{{ ns.l }}|{% set x = 1 %}{% for y in [1] %}{% set x = 2 %}{% endfor %}{{ x }}""",
    r"""{% macro m(a, b='d') %}{{ a }}{{ b }}{% endmacro %}{{ m('x') }}{{ m('x', b='y') }}|{% set b %}block {{ 1 }}{% endset %}{{ b | upper }}|{% filter upper %}low{% endfilter %}|{% if none or '' or 0 or [] or {} %}yes{% else %}no{% endif %}""",
    r"""{% macro w() %}<{{ caller() }}>{% endmacro %}{% call w() %}in{% endcall %}|{{ 'a' if true }}|{{ 'a' if false }}|{{ 'a' if false else 'b' }}|{% raw %}{{ x }}{% endraw %}|{# c #}|{{- ' x ' -}}  y""",
    r"""{{ '%s is %d' | format('a', 1) }}|{{ 'a\nb' | indent(2) }}|{{ 'a b' | replace('a', 'c') }}|{{ 3.7 | int }}|{{ '3' | int + 1 }}|{{ 'abc' | length }}|{{ 'x' * 3 }}|{{ 12 | string + 'a' }}""",
    r"""{{ 'it' | capitalize }}|{{ '<b>' | e }}|{{ [1, 2, 3] | join(', ') }}|{{ 'a' ~ 1 }}|{{ 1 + 2.5 }}|{{ (1, 2) + (3,) }}|{{ 'b' > 'a' }}|{{ 1 < 2 < 3 }}|{{ [1, 2] == [1, 2] }}""",
    r"""{{ strftime_now('%Y-%m-%d %H:%M:%S %A %a %B %b %-d %e %j %y %I %p') }}""",
    r"""{{ -7 % 3 }}""",
    r"""{{ 2.345 | round(1) }}""",
    r"""{{ nothing.more }}""",
    r"""{{ nothing + 'a' }}""",
    r"""{{ 'a' + 1 }}""",
    r"""{{ messages[5].role }}""",
    r"""{{ raise_exception('no') }}""",
    r"""{{ nothing() }}""",
    r"""{{ 'a'.unheard() }}""",
]
