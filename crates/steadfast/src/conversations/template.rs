//! Chat templates, rendered byte for byte as transformers renders them.
//!
//! A template comes with a model, from anywhere: it runs with a limited amount of fuel, cannot read
//! files, cannot loop for ever, and cannot print without end.

mod json;
mod python;
mod watched;

pub use watched::say_with;

use super::Message;
use crate::{Error, Result};
use jiff::ZonedDateTime;
use jiff::tz::TimeZone;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, ErrorKind, UndefinedBehavior, Value};
use serde::Serialize;

/// Instructions a rendering may take; a long conversation takes some thousands. One also pays for 64
/// bytes of text that the template makes, so that this bounds memory too, but for what [`watched`] sees.
const FUEL: u64 = 1_000_000;

/// Bytes a rendering may have: some ten times the longest context of the supported models.
const LONGEST: usize = 16 << 20;

/// The stack of a rendering. A template can put a list into a list as often as its fuel lasts, and to
/// print or to drop the outermost takes a call a level. Only what is used of it takes memory. Half of it
/// suffices for what the fuel allows; with a fuzzer's counters in them, calls take several times the room.
const STACK: usize = if cfg!(fuzzing) { 8 << 30 } else { 1 << 30 };

/// That of a template without a namespace, which alone outlives a turn of a loop.
const SMALL_STACK: usize = if cfg!(fuzzing) { 64 << 20 } else { 8 << 20 };

/// What a template that asks for the time is told, but in talk with people: else what a training has learnt
/// and what a measurement has asked would be something else after midnight. The day is the one that
/// Llama 3's templates name where there is no clock.
///
/// Noon in UTC. A zone by name would ask the system's list of them, which small images do not have.
const STANDING: jiff::Timestamp = jiff::Timestamp::constant(1_721_995_200, 0);

/// A compiled Jinja chat template with its special tokens.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    bos: Option<String>,
    eos: Option<String>,
    source: String,
    standing: ZonedDateTime,
}

impl ChatTemplate {
    /// Compiles `source`; `bos`/`eos` are the strings the template sees as `bos_token`/`eos_token`,
    /// which are undefined where the model has none.
    pub fn new(source: &str, bos: Option<&str>, eos: Option<&str>) -> Result<Self> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()
            .map_err(|cause| Error::bug("the template syntax is refused").because(cause))?;
        environment.set_syntax(syntax);
        environment.set_undefined_behavior(UndefinedBehavior::Lenient);
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(100);
        environment.set_unknown_method_callback(python::method);
        environment.add_function("raise_exception", raise_exception);
        environment.add_filter("tojson", json::tojson);
        environment.add_filter("trim", python::trim);
        environment.add_test("iterable", python::is_iterable);
        environment.add_test("sequence", python::is_sequence);
        environment
            .add_template_owned("chat", without_generation_marks(source))
            .map_err(|cause| {
                Error::user("the chat template does not compile")
                    .because(cause)
                    .hint("check chat_template.jinja, or tokenizer_config.json's chat_template")
            })?;
        Ok(Self {
            environment,
            bos: bos.map(str::to_owned),
            eos: eos.map(str::to_owned),
            source: source.to_owned(),
            standing: STANDING.to_zoned_datetime(TimeZone::UTC),
        })
    }

    /// Whether it asks for the time.
    pub fn asks_for_the_time(&self) -> bool {
        self.source.contains("strftime_now")
    }

    /// Goes into the keys of stored work. Templates that ask for the time were once told the day: what was
    /// stored then is not theirs any more.
    pub fn clock(&self) -> &'static str {
        if self.asks_for_the_time() {
            " standing"
        } else {
            ""
        }
    }

    /// The template as it was given.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Renders the messages, with the opening of an assistant turn appended when asked for. It is always
    /// the same day: see [`Self::render_now`].
    pub fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String> {
        self.render_at(&self.standing, messages, add_generation_prompt)
    }

    /// The same at the time that it is, as transformers renders: for talk with people.
    pub fn render_now(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String> {
        self.render_at(&ZonedDateTime::now(), messages, add_generation_prompt)
    }

    fn render_at(
        &self,
        now: &ZonedDateTime,
        messages: &[Message],
        add_generation_prompt: bool,
    ) -> Result<String> {
        #[derive(Serialize)]
        struct Turn<'a> {
            role: super::Role,
            content: &'a str,
        }
        let turns: Vec<Turn> = messages
            .iter()
            .map(|message| Turn {
                role: message.role,
                content: &message.content,
            })
            .collect();
        self.print(
            now,
            Value::from(Serde(&turns)),
            Value::from(()),
            add_generation_prompt,
        )
    }

    /// Renders turns and tools as transformers takes them: lists of objects, or none.
    fn print(
        &self,
        now: &ZonedDateTime,
        turns: Value,
        tools: Value,
        add_generation_prompt: bool,
    ) -> Result<String> {
        let now = now.clone();
        let strftime_now = Value::from_function(move |format: &str| {
            jiff::fmt::strtime::format(format, &now).map_err(|cause| {
                minijinja::Error::new(ErrorKind::InvalidOperation, cause.to_string())
            })
        });
        let named = |token: &Option<String>| token.as_deref().map_or(Value::UNDEFINED, Value::from);
        let print = move || {
            let template = self.environment.get_template("chat")?;
            let context = minijinja::context! {
                messages => turns,
                tools => tools,
                documents => (),
                strftime_now => strftime_now,
                add_generation_prompt => add_generation_prompt,
                bos_token => named(&self.bos),
                eos_token => named(&self.eos),
            };
            let mut output = Bounded::default();
            template.render_captured_to(context, &mut output)?;
            String::from_utf8(output.bytes)
                .map_err(|cause| minijinja::Error::new(ErrorKind::WriteFailure, cause.to_string()))
        };
        let stack = match self.source.contains("namespace") {
            true => STACK,
            false => SMALL_STACK,
        };
        watched::watched(stack, print)?.map_err(|cause| {
            Error::user("the chat template refuses this conversation")
                .because(cause)
                .hint("the model's template may want other roles or another order of turns")
        })
    }
}

/// Keeps at most [`LONGEST`] bytes.
#[derive(Default)]
struct Bounded {
    bytes: Vec<u8>,
}

impl std::io::Write for Bounded {
    fn write(&mut self, more: &[u8]) -> std::io::Result<usize> {
        if self.bytes.len() + more.len() > LONGEST {
            return Err(std::io::Error::other(format!(
                "it prints more than {LONGEST} bytes"
            )));
        }
        self.bytes.extend_from_slice(more);
        Ok(more.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// transformers marks assistant text with `{% generation %}`; the marks print nothing. There as here,
/// what is set between two marks is not seen after them.
fn without_generation_marks(source: &str) -> String {
    let marks = regex::Regex::new(r"\{%([-+]?)\s*(end)?generation\s*([-+]?)%\}")
        .expect("the pattern is fixed");
    marks.replace_all(source, "{%$1 ${2}with $3%}").into_owned()
}

fn raise_exception(message: String) -> std::result::Result<Value, minijinja::Error> {
    Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
}

#[cfg(test)]
mod families;
#[cfg(test)]
mod tests;
