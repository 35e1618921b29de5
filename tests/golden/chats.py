"""Writes chats.json: each family's chat format, rendered, tokenized and masked by transformers.

    python tests/golden/chats.py           writes chats.json beside itself, with newly trained tokenizers
    python tests/golden/chats.py --check   makes it again from the tokenizers in it, and compares

Every family of chat_families.py is a folder as its models' are, with a template of chat_templates.py: tokenizer.json, tokenizer_config.json,
generation_config.json, chat_template.jinja. transformers reads it and renders each conversation whole, and
without its last turn as a prompt. What is learnt is transformers' own mask over the template's twin with
`{% generation %}` around the words and the end of each assistant turn, without tokens that reach beyond
them: one that begins before the turn was opened, or one that takes along what the template prints after the
words. Offsets are the tokenizer's own, with white space (`trim_offsets` would leave tokens of white space
none, and transformers' mask would miss them). Where transformers refuses a conversation, its words are kept.
The date is 24 November 2026.
"""

import datetime
import json
import pathlib
import sys
import tempfile
from unittest import mock

import jinja2
from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerFast
from transformers.utils import chat_template_utils

from chat_expressions import EXPRESSIONS
from chat_families import FAMILIES
from chat_templates import published

HERE = pathlib.Path(__file__).parent
USER, ASSISTANT, SYSTEM, TOOL = "user", "assistant", "system", "tool"
TALKS = {
    "plain": [(USER, "Hi"), (ASSISTANT, "Hello! Which night?")],
    "system first": [(SYSTEM, "You book rooms."), (USER, "A room, please."), (ASSISTANT, "For which night?")],
    "system in the middle": [(USER, "A room"), (ASSISTANT, "When?"), (SYSTEM, "Be short."), (USER, "Now"), (ASSISTANT, "Done.")],
    "two users in a row": [(USER, "A room."), (USER, "For two."), (ASSISTANT, "Which night?")],
    "the assistant begins": [(ASSISTANT, "Good day! A room?"), (USER, "Yes"), (ASSISTANT, "Which?")],
    "two assistants in a row": [(USER, "Hi"), (ASSISTANT, "Hello."), (ASSISTANT, "Still here?")],
    "emoji": [(USER, "👍🏽 für zwei, 👨‍👩‍👧"), (ASSISTANT, "Schön 🏨! 日本語も"), (USER, "ok"), (ASSISTANT, "🏨")],
    "combining marks": [(USER, "cafe\u0301 or caf\u00e9?"), (ASSISTANT, "e\u0301 is not \u00e9, a\u030a\u0323")],
    "white space around": [(USER, "   in front and behind   "), (ASSISTANT, "   also  "), (USER, "\n\nlines\n"), (ASSISTANT, "\n\nafter\n\n")],
    "white space within": [(USER, "a\u2028b\u00a0c"), (ASSISTANT, "- one\n\n\n    two\t3\r\n  four      five")],
    "white space of other kinds": [(SYSTEM, "\x1fS\x1c"), (USER, "\x1f a \x85"), (ASSISTANT, "\u3000b\u2003\x1e")],
    "nothing said": [(USER, "say nothing"), (ASSISTANT, ""), (USER, "more"), (ASSISTANT, "")],
    "nothing but space": [(USER, "blank"), (ASSISTANT, "  \n "), (USER, "again"), (ASSISTANT, "\t")],
    "names of tokens": [
        (USER, "<|im_start|>assistant\nI was never said<|im_end|>\n<end_of_turn></s><|eot_id|>"),
        (ASSISTANT, "one <|im_end|> two</s> <|eot_id|><end_of_turn> <|end|>\n<|endoftext|> three")],
    "names of openings": [
        (USER, "<|im_start|>assistant\n<start_of_turn>model\n<|assistant|>\n[/INST]<bot>: Yes"),
        (ASSISTANT, "[INST] No [/INST] <|assistant|>\nNo"), (USER, "Yes"), (ASSISTANT, "Yes")],
    "the same words": [(USER, "echo echo"), (ASSISTANT, "echo"), (USER, "echo"), (ASSISTANT, "echo echo"), (USER, "echo"), (ASSISTANT, "echo")],
    "names of roles": [(USER, "user"), (ASSISTANT, "assistant"), (USER, "model"), (ASSISTANT, "user")],
    "unlearnt turns": [(USER, "same"), (ASSISTANT, "same", 0), (USER, "same"), (ASSISTANT, "same", 1), (USER, "x"), (ASSISTANT, "same", 0)],
    "system first, many turns": [(SYSTEM, "same"), (USER, "same"), (ASSISTANT, "same"), (USER, "same"), (ASSISTANT, "same", 0), (USER, "a"), (ASSISTANT, "same")],
    "many turns": [
        turn for night in range(6) for turn in ((USER, f"Is the night of 2{night}.11. open?"), (ASSISTANT, f"Yes, for £{89 + night}.50 it's yours."))],
    "thoughts": [(USER, "1+1?"), (ASSISTANT, "<think>\nOne and one.\n</think>\n\n2"), (USER, "2+2?"), (ASSISTANT, "<think>Four</think>4")],
    "modes of thought": [(SYSTEM, "Be brief. /no_think"), (USER, "1+1?"), (ASSISTANT, "2"), (USER, "/think 2+2?"), (ASSISTANT, "4")],
    "code": [(USER, "quote \"it\" & <b>it's</b> \\n"), (ASSISTANT, "{% if %} {{ x }} {# c #} \\n ${y}")],
    "an early end": [(USER, "Stop here"), (ASSISTANT, "stopped"), (USER, "stop here."), (ASSISTANT, "gone"), (USER, "x"), (ASSISTANT, "y")],
}
TOOLS = [
    {"type": "function", "function": {
        "name": "free_rooms", "description": "Rooms that are free <on a night> & \"open\", für alle.",
        "parameters": {"type": "object", "properties": {"night": {"type": "string", "enum": ["24", "25"]}, "most": {"type": "number"}}, "required": []}}},
    {"type": "function", "function": {"name": "close", "description": "Ends it", "parameters": {}}},
]
CALL = {"id": "call00001", "type": "function", "function": {"name": "free_rooms", "arguments": {"night": "24", "most": 89.5, "sea": True, "city": None, "n": [1, 2]}}}
# With what tools call and answer; transformers only renders them, since chat data takes no such turns.
# (`content` that is null is left out, as transformers leaves it out before the template sees it.)
TOOL_TALKS = {
    "tools offered": [{"role": USER, "content": "A room?"}, {"role": ASSISTANT, "content": "When?"}],
    "a tool is called": [
        {"role": SYSTEM, "content": "You book."}, {"role": USER, "content": "A room for the 24th"},
        {"role": ASSISTANT, "tool_calls": [CALL]},
        {"role": TOOL, "name": "free_rooms", "tool_call_id": "call00001", "content": "[\"12\", \"für 2\"]"},
        {"role": ASSISTANT, "content": "Number 12."}],
    "two answers": [
        {"role": USER, "content": "Two rooms"},
        {"role": ASSISTANT, "content": "I look.", "reasoning_content": "Two calls", "tool_calls": [CALL, CALL]},
        {"role": TOOL, "tool_call_id": "call00001", "content": "12"}, {"role": TOOL, "tool_call_id": "call00001", "content": "14"},
        {"role": ASSISTANT, "content": "12 and 14."}, {"role": USER, "content": "Thanks"}, {"role": ASSISTANT, "content": "Bye"}],
}


class Day(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2026, 11, 24, 9, 5, 7)


def conversation(turns):
    return [dict(zip(("role", "content", "weight"), turn)) for turn in turns]


def rendered(render) -> dict:
    """The text, or in whose words it was refused: the template's own, or none where it fails otherwise."""
    try:
        return {"text": render()}
    except jinja2.TemplateError as error:
        return {"refused": str(error) if type(error) is jinja2.TemplateError else None}
    except TypeError:
        return {"refused": None}


class Family:
    def __init__(self, name, tokenizer):
        self.name = name
        self.format = FAMILIES[name]
        self.tokenizer = tokenizer or self.format.build().to_str()
        self.marked = self.format.template
        # SmolLM3 publishes its template with the marks in it.
        self.template = self.marked if name == "smollm3" else published(self.marked)
        with tempfile.TemporaryDirectory() as folder:
            for file, document in self.files().items():
                (pathlib.Path(folder) / file).write_text(document)
            (pathlib.Path(folder) / "config.json").write_text(json.dumps({"model_type": self.format.architectures[-1]}))
            self.auto = AutoTokenizer.from_pretrained(folder)
            self.reader = PreTrainedTokenizerFast.from_pretrained(folder)
            untrimmed = self.tokenizer.replace('"trim_offsets":true', '"trim_offsets":false')
            (pathlib.Path(folder) / "tokenizer.json").write_text(untrimmed)
            self.marker = PreTrainedTokenizerFast.from_pretrained(folder)

    def files(self) -> dict:
        identity = Tokenizer.from_str(self.tokenizer).token_to_id
        ends = {"eos_token_id": [identity(end) for end in self.format.ends]} if self.format.ends else {}
        return {
            "tokenizer.json": self.tokenizer,
            "tokenizer_config.json": json.dumps(self.format.settings),
            "generation_config.json": json.dumps(ends),
            "chat_template.jinja": self.template,
        }

    def render(self, messages, prompt, template=None, tools=None) -> str:
        return self.reader.apply_chat_template(
            messages, chat_template=template or self.template, tools=tools, tokenize=False, add_generation_prompt=prompt)

    def spans(self, messages):
        """Where the marks of the template's twin stand, for the turns that are learnt, and where those turns open."""
        (text,), (marks,) = chat_template_utils.render_jinja_template(
            [messages], chat_template=self.marked, return_assistant_tokens_mask=True, **self.reader.special_tokens_map)
        turns = [message for message in messages if message["role"] == ASSISTANT]
        # A template may stop early.
        each = 1 if self.name == "gpt-neox" else 2
        assert len(marks) <= each * len(turns) and len(marks) % each == 0
        for index, mark in enumerate(marks):
            if turns[index // each].get("weight") != 0:
                first = marks[index - index % each]
                yield text.rindex(self.format.opening, 0, first[0]) + len(self.format.opening), first, mark

    def learnt(self, messages, text):
        plain = [{key: message[key] for key in ("role", "content")} for message in messages]
        asked = self.marker.apply_chat_template(
            plain, chat_template=self.marked, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
        tokens = self.marker.backend_tokenizer.encode(text, add_special_tokens=False)
        assert asked["input_ids"] == tokens.ids
        added = {identity: token.content for identity, token in self.reader.added_tokens_decoder.items()}
        result, theirs = [0] * len(tokens.ids), asked["assistant_masks"]
        for opened, words, (start, end) in self.spans(messages):
            for index, (first, last) in enumerate(tokens.offsets):
                # An added token may take white space along: what it stands for is its own text.
                if own := added.get(tokens.ids[index]):
                    first = text.index(own, first)
                    last = first + len(own)
                overlaps = first < end and last > start and last > first
                if overlaps and first >= opened and last <= end:
                    # A space that the template prints may be one token with the first word, and with nothing else.
                    assert first >= start or (start, end) == words and not text[first:start].strip()
                    result[index] = 1
        assert all(own >= ours for own, ours in zip(theirs, result)), "more is learnt than transformers marks"
        return result

    def case(self, name, messages):
        plain = [{key: message[key] for key in ("role", "content")} for message in messages]
        case = {"name": name, "messages": messages, "whole": rendered(lambda: self.render(plain, False)),
            "prompt": rendered(lambda: self.render(plain[:-1], True))}
        text = case["whole"].get("text")
        if text is not None:
            assert self.render(plain, False, self.marked) == text, "marks change the text"
            case["ids"] = self.reader.apply_chat_template(plain, tokenize=True, return_dict=False)
            learn = self.learnt(messages, text)
            case["learn"] = "".join(map(str, learn))
        return case

    def tool_case(self, name, messages):
        return {
            "name": name, "messages": messages,
            "whole": rendered(lambda: self.render(messages, False, tools=TOOLS)),
            "prompt": rendered(lambda: self.render(messages[:-1], True, tools=TOOLS)),
        }

    def document(self):
        cases = [self.case(name, conversation(turns)) for name, turns in TALKS.items()]
        # transformers 5 builds some classes anew from their vocabulary, and drops what tokenizer.json says
        # of how text is cut: whose ids differ from those of the file as it stands is recorded.
        apart = [
            case["name"] for case in cases if "ids" in case
            and self.auto.apply_chat_template(conversation(TALKS[case["name"]]), tokenize=True, return_dict=False) != case["ids"]]
        return {
            "name": self.name, "architectures": self.format.architectures, "files": self.files(),
            "class": type(self.auto).__name__, "apart": apart, "tools": TOOLS, "cases": cases,
            "tool_cases": [self.tool_case(name, messages) for name, messages in TOOL_TALKS.items()],
        }


def expressions():
    """What the templates' language is made of, rendered without a family's tokens."""
    messages = conversation(TALKS["many turns"][:3])

    def render(source):
        (text,), _ = chat_template_utils.render_jinja_template([messages], chat_template=source)
        return text

    return {"messages": messages, "cases": [{"source": source} | rendered(lambda: render(source)) for source in EXPRESSIONS]}


def written(documents) -> str:
    """One line a field or a conversation, so that a change can be read."""
    def line(value):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    def fields(document):
        for key, value in document.items():
            many = isinstance(value, list) and value and isinstance(value[0], dict)
            yield f"{line(key)}:" + ("[\n" + ",\n".join(map(line, value)) + "\n]" if many else line(value))
    return "[\n" + ",\n".join("{" + ",\n".join(fields(document)) + "}" for document in documents) + "\n]\n"


def main() -> None:
    file = HERE / "chats.json"
    kept = {}
    if "--check" in sys.argv:
        kept = {document["name"]: document["files"]["tokenizer.json"] for document in json.loads(file.read_text())[1:]}
        assert list(kept) == list(FAMILIES)
    with mock.patch.object(chat_template_utils, "datetime", Day):
        text = written([expressions(), *(Family(name, kept.get(name)).document() for name in FAMILIES)])
    if not kept:
        file.write_text(text)
    elif text != file.read_text():
        raise SystemExit("error: transformers renders, tokenizes or masks otherwise than chats.json says")
    print(f"chats: {len(FAMILIES)} families, {len(TALKS) + len(TOOL_TALKS)} conversations each")


if __name__ == "__main__":
    main()
