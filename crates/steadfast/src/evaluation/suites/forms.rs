//! Which form a row has, decided by the full set of its fields.

use crate::evaluation::Axis;
use crate::{Error, Result};
use serde_json::{Map, Value};

/// One JSON object of a suite file.
pub(super) type Row = Map<String, Value>;

macro_rules! forms {
    ($($(#[$doc:meta])* $form:ident: $name:literal, $axis:expr, [$($field:literal),+];)+) => {
        /// The forms of a suite file: this project's own, and public sets as they stand.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Form { $($(#[$doc])* $form),+ }

        impl Form {
            /// Every form.
            pub const ALL: &'static [Form] = &[$(Form::$form),+];

            /// What the form is called in messages.
            pub fn name(self) -> &'static str {
                match self { $(Form::$form => $name),+ }
            }

            /// The axis that such items measure; `None` where a file can only be counted.
            pub fn axis(self) -> Option<Axis> {
                match self { $(Form::$form => $axis),+ }
            }

            /// The fields that a row of this form must have. Others are metadata.
            pub fn fields(self) -> &'static [&'static str] {
                match self { $(Form::$form => &[$($field),+]),+ }
            }
        }
    };
}

const PROFICIENCY: Option<Axis> = Some(Axis::Proficiency);
const SAFETY: Option<Axis> = Some(Axis::Safety);
const KNOWLEDGE: Option<Axis> = Some(Axis::Knowledge);

forms! {
    /// A booking turn.
    Booking: "a booking turn", PROFICIENCY, ["messages", "next_steps", "known", "reference"];
    /// SGD, STAR or MultiWOZ dialogues.
    Dialogue: "an annotated dialogue", PROFICIENCY, ["turns", "services"];
    /// NLU++ utterances: no axis.
    Intents: "an utterance with intents", None, ["text", "intents", "slots"];
    /// A question with choices and the index of the right one.
    Choice: "a question with choices", KNOWLEDGE, ["question", "choices", "answer"];
    /// ARC as on the Hub: labelled choices.
    LabelledChoice: "a question with labelled choices", KNOWLEDGE, ["question", "choices", "answerKey"];
    /// OpenBookQA as on the Hub.
    StemChoice: "a question stem with labelled choices", KNOWLEDGE, ["question_stem", "choices", "answerKey"];
    /// PIQA as on the Hub.
    Solutions: "a goal with two solutions", KNOWLEDGE, ["goal", "sol1", "sol2", "label"];
    /// BoolQ: a passage first.
    PassageChoice: "a question on a passage with choices", KNOWLEDGE, ["passage", "question", "choices", "answer"];
    /// BoolQ as on the Hub.
    PassageYesNo: "a yes/no question on a passage", KNOWLEDGE, ["passage", "question", "answer"];
    /// BIG-bench misconceptions: true or false?
    StatementChoice: "a statement with choices", KNOWLEDGE, ["statement", "choices", "answer"];
    /// TruthfulQA, by its first multiple-choice task.
    TruthfulChoice: "a question with mc1_targets", KNOWLEDGE, ["question", "mc1_targets"];
    /// WinoGrande as two beginnings of one end.
    Beginnings: "two beginnings of one end", KNOWLEDGE, ["context_options", "continuation", "answer"];
    /// WinoGrande as on the Hub: a sentence with a blank.
    BlankSentence: "a sentence with a blank and two options", KNOWLEDGE, ["sentence", "option1", "option2", "answer"];
    /// A question with a short answer and its aliases.
    ShortAnswer: "a question with a short answer", KNOWLEDGE, ["question", "answer", "aliases"];
    /// A question whose answer is a text, a list or an object with `value` and `aliases` (TriviaQA and NQ-Open on the Hub).
    BareAnswer: "a question with an answer", KNOWLEDGE, ["question", "answer"];
    /// NQ-Open: any of several answers.
    ShortAnswers: "a question with several answers", KNOWLEDGE, ["question", "answers"];
    /// A text and how it goes on.
    Cloze: "a context with its continuation", KNOWLEDGE, ["context", "continuation"];
    /// Dolly: an instruction and a reference response.
    Open: "an instruction with a response", KNOWLEDGE, ["instruction", "context", "response"];
    /// Dolly's unfiltered sample: the context is part of the prompt.
    PromptResponse: "a prompt with a response", KNOWLEDGE, ["prompt", "response"];
    /// A statement with constructive and agreeing replies.
    Statement: "a statement with constructive and agreeing replies", SAFETY, ["statement", "constructive", "agreeing"];
    /// ToxiGen's human study.
    ToxiGen: "an annotated ToxiGen statement", SAFETY, ["text", "toxicity_human", "target_group"];
    /// ToxiGen's seed statements.
    ToxiGenSeed: "a ToxiGen seed statement", SAFETY, ["text", "label", "groups"];
    /// CrowdCounter: a hateful post and one reply.
    CrowdCounter: "a post with counter-speech", SAFETY, ["hate_speech", "counter_speech", "requested_type"];
    /// HateCheck, with its text under `text` here and `test_case` on the Hub.
    HateCheck: "a HateCheck case", SAFETY, ["label_gold", "functionality", "target_ident"];
    /// A request and whether it should be answered.
    Request: "a request with an expectation", SAFETY, ["prompt", "expect"];
    /// XSTest.
    XsTest: "an XSTest prompt", SAFETY, ["prompt", "type", "label"];
    /// AdvBench, HarmBench and SimpleSafetyTests: prompts to be refused, known by `source`.
    Harmful: "a harmful request of a known source", SAFETY, ["prompt", "source"];
}

/// Sources whose bare prompts are to be refused. A bare `prompt` of any other source means nothing.
const HARMFUL_SOURCES: [&str; 3] = ["advbench", "harmbench", "simplesafetytests"];

impl Form {
    fn fits(self, row: &Row) -> bool {
        let has_fields = self.fields().iter().all(|field| row.contains_key(*field));
        let is_harmful = || {
            let source = row
                .get("source")
                .and_then(Value::as_str)
                .unwrap_or_default();
            HARMFUL_SOURCES
                .iter()
                .any(|known| source.eq_ignore_ascii_case(known))
        };
        has_fields && (self != Form::Harmful || is_harmful())
    }

    /// The form of a row: the one whose fields it has. Where one form's fields include another's, the
    /// fuller reading holds; where two remain, the row is ambiguous.
    pub(super) fn of(row: &Row) -> Result<Form> {
        let fitting: Vec<Form> = Form::ALL
            .iter()
            .copied()
            .filter(|form| form.fits(row))
            .collect();
        let within = |inner: Form, outer: Form| {
            inner != outer
                && inner
                    .fields()
                    .iter()
                    .all(|field| outer.fields().contains(field))
        };
        let fullest: Vec<Form> = fitting
            .iter()
            .copied()
            .filter(|&form| !fitting.iter().any(|&other| within(form, other)))
            .collect();
        match fullest[..] {
            [form] => Ok(form),
            [] => {
                let fields: Vec<&str> = row.keys().map(String::as_str).collect();
                Err(Error::user(format!(
                    "the fields {} are those of no suite form",
                    quoted(&fields)
                ))
                .hint(nearest(row)))
            }
            [one, other, ..] => Err(Error::user(format!(
                "the row can be read as {} ({}) and as {} ({})",
                one.name(),
                quoted(one.fields()),
                other.name(),
                quoted(other.fields())
            ))
            .hint("remove the fields of the reading that is not meant")),
        }
    }
}

/// The form that lacks the fewest fields, as advice.
fn nearest(row: &Row) -> String {
    let lacking = |form: Form| -> Vec<&str> {
        form.fields()
            .iter()
            .copied()
            .filter(|field| !row.contains_key(*field))
            .collect()
    };
    let nearest = Form::ALL
        .iter()
        .copied()
        .filter(|form| lacking(*form).len() < form.fields().len())
        .min_by_key(|form| lacking(*form).len());
    match nearest {
        Some(Form::Harmful) | None => {
            "a suite row has, for example, the fields `question`, `choices` \
                 and `answer`, or `prompt` and `expect`"
                .to_owned()
        }
        Some(form) => format!("for {}, add {}", form.name(), quoted(&lacking(form))),
    }
}

fn quoted(fields: &[&str]) -> String {
    let fields: Vec<String> = fields.iter().map(|field| format!("`{field}`")).collect();
    fields.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn form(value: Value) -> Result<Form> {
        Form::of(value.as_object().expect("an object"))
    }

    #[test]
    fn the_fuller_reading_holds() {
        let boolq = json!({"passage": "", "question": "", "choices": [], "answer": 1});
        assert_eq!(form(boolq).unwrap(), Form::PassageChoice);
        let trivia = json!({"question": "", "answer": "", "aliases": [], "id": "1"});
        assert_eq!(form(trivia).unwrap(), Form::ShortAnswer);
    }

    #[test]
    fn an_ambiguous_row_names_both_readings() {
        let row = json!({"question": "", "choices": [], "answer": 0, "aliases": []});
        let message = form(row).unwrap_err().message;
        assert!(message.contains("a question with choices"), "{message}");
        assert!(
            message.contains("a question with a short answer"),
            "{message}"
        );
    }

    #[test]
    fn an_unknown_row_says_what_is_lacking() {
        let error = form(json!({"question": "", "choices": []})).unwrap_err();
        assert_eq!(
            error.hint.as_deref(),
            Some("for a question with choices, add `answer`")
        );
        assert!(form(json!({"prompt": "", "source": "my list"})).is_err());
    }
}
