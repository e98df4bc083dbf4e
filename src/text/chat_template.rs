//! Messages to the prompt text a model was trained on, by the checkpoint's own Jinja template. Knows no token ids.

mod json;
mod metered;
mod python;
mod time;

use std::thread;

use minijinja::{Environment, ErrorKind, Value, syntax::SyntaxConfig, value::Serde};
use minijinja_contrib::pycompat::unknown_method_callback;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

const NAME: &str = "chat_template";

/// Work a template may do: one unit pays for an instruction or for 64 bytes made or looked at. The official template
/// spends 90 on a message and 1 on 6 bytes, so that this is four times what fills its context of 262,144 tokens.
const FUEL: u64 = 1_000_000;

/// A template can nest values until its fuel ends, some ten units a level, and showing, comparing and dropping them
/// recurses, up to 1.8 KB a level in a debug build; so does parsing a long row of `not`. This holds them with a margin.
/// Only the pages that are touched cost memory.
const STACK: usize = 512 << 20;

/// The longest template text; the official one has 8 KB.
const LONGEST: usize = 128 << 10;

/// Macros that call macros, and the like. Low, so that no stack is too small for it.
const RECURSION: usize = 50;

/// One message of a conversation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks: `system`, `user`, `assistant` or `tool`.
    pub role: String,
    /// What is said.
    #[serde(default)]
    pub content: String,
    /// What an assistant thought before it said that; none lets the template look for it in the content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<String>,
    /// The calls an assistant made, each `{"function": {"name": …, "arguments": {…}}}` or what is inside.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<serde_json::Value>,
}

impl Message {
    /// A message that only says something.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Message {
        Message { role: role.into(), content: content.into(), ..Message::default() }
    }
}

/// What a template may know beside the messages.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Options {
    /// Ends with the beginning of the assistant's turn, so that the model answers.
    #[serde(rename = "add_generation_prompt")]
    pub generation_prompt: bool,
    /// Asks for an answer with or without thinking; none leaves it to the template, whose default differs by model.
    #[serde(rename = "enable_thinking", skip_serializing_if = "Option::is_none")]
    pub thinking: Option<bool>,
    /// The tools the model may call, as JSON schemas of functions.
    #[serde(serialize_with = "none_if_empty")]
    pub tools: Vec<serde_json::Value>,
    /// The tokenizer's beginning of text, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bos_token: Option<String>,
    /// The tokenizer's end of text, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eos_token: Option<String>,
}

/// Transformers gives a template `None` for no tools.
fn none_if_empty<S>(tools: &[serde_json::Value], serializer: S) -> std::result::Result<S::Ok, S::Error>
where
    S: serde::Serializer,
{
    if tools.is_empty() { serializer.serialize_none() } else { tools.serialize(serializer) }
}

#[derive(Serialize)]
struct Context<'a> {
    messages: &'a [Message],
    documents: Option<()>,
    #[serde(flatten)]
    options: &'a Options,
}

/// A compiled chat template, rendered as transformers does it.
///
/// A template comes with a download, so it is trusted with little: it reaches neither files nor the network, and the
/// time it takes, the memory it uses and its recursion are bounded. One gap is left, in the engine: a list that holds
/// itself twice, many times over, is small until it is compared or joined to a string, and that is not counted.
pub struct Template {
    environment: Environment<'static>,
}

impl Template {
    /// Compiles the text of a `chat_template.jinja`.
    ///
    /// # Errors
    /// [`Error::Template`] with the line, for one that does not compile or is too long.
    pub fn new(source: &str) -> Result<Template> {
        if source.len() > LONGEST {
            return Err(Error::Template(format!("it has {} bytes, at most {LONGEST} are taken", source.len())));
        }
        on_large_stack(|| {
            let mut environment = environment()?;
            environment.add_template_owned(NAME, without_generation_tags(source))?;
            Ok(Template { environment })
        })
    }

    /// Compiles the `chat_template` of a tokenizer_config.json: a string, or a list of `{name, template}` of which
    /// `default` is taken. `None` where there is none.
    ///
    /// # Errors
    /// As [`Template::new`], and for a `chat_template` of another form.
    pub fn from_tokenizer_config(json: &serde_json::Value) -> Result<Option<Template>> {
        let is_default = |entry: &&serde_json::Value| entry.get("name").is_some_and(|name| name == "default");
        let template = match json.get("chat_template") {
            None | Some(serde_json::Value::Null) => return Ok(None),
            Some(serde_json::Value::Array(list)) => {
                list.iter().find(is_default).and_then(|entry| entry.get("template"))
            }
            one => one,
        };
        let what = "chat_template of tokenizer_config.json is neither a string nor a list with a default";
        let source = template.and_then(|template| template.as_str()).ok_or_else(|| Error::Template(what.to_owned()))?;
        Template::new(source).map(Some)
    }

    /// The prompt for `messages`.
    ///
    /// # Errors
    /// [`Error::Template`] with the line: what the template itself complains of, what it cannot do, or that it does too
    /// much.
    pub fn render(&self, messages: &[Message], options: &Options) -> Result<String> {
        on_large_stack(|| {
            let context = Value::from(Serde(Context { messages, documents: None, options }));
            self.environment.get_template(NAME)?.render(context)
        })
    }
}

/// The engine set up as transformers sets up its own, and its bounds.
fn environment() -> std::result::Result<Environment<'static>, minijinja::Error> {
    let mut environment = Environment::new();
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_unknown_method_callback(unknown_method_callback);
    environment.add_function("raise_exception", python::raise_exception);
    environment.add_function("strftime_now", python::strftime_now);
    environment.add_filter("tojson", python::tojson);
    environment.add_filter("string", python::string);
    environment.set_formatter(python::write);
    environment.set_recursion_limit(RECURSION);
    environment.set_fuel(Some(FUEL));
    environment.set_debug(false);
    // It indents what it shows, which for a deep value is far more than fuel is asked for.
    environment.remove_filter("pprint");
    Ok(environment)
}

/// Runs `work` on a thread of its own, as the caller's stack may be small; a browser has no threads to spend.
fn on_large_stack<T: Send>(work: impl FnOnce() -> std::result::Result<T, minijinja::Error> + Send) -> Result<T> {
    if cfg!(target_family = "wasm") {
        return work().map_err(|error| report(&error));
    }
    thread::scope(|scope| {
        let worker = thread::Builder::new().name(NAME.to_owned()).stack_size(STACK);
        let started = worker.spawn_scoped(scope, || work().map_err(|error| report(&error)));
        let handle = started.map_err(|error| Error::Template(format!("no thread could be started for it: {error}")))?;
        handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// `{% generation %}` marks what to train on; for a prompt it does nothing, and the engine does not know it.
fn without_generation_tags(source: &str) -> String {
    let mut result = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(begin) = rest.find("{%") {
        let (before, tag) = rest.split_at(begin + 2);
        let word = tag.trim_start_matches(['-', '+']).trim_start();
        let name = word.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
        result.push_str(before);
        result.push_str(&tag[..tag.len() - word.len()]);
        rest = word;
        let replacement = match name {
            "generation" => "if true",
            "endgeneration" => "endif",
            _ => continue,
        };
        result.push_str(replacement);
        rest = &word[name.len()..];
    }
    result + rest
}

/// The line and the innermost cause: what `raise_exception` said, or what went wrong.
fn report(error: &minijinja::Error) -> Error {
    let mut cause = error;
    while let Some(inner) = std::error::Error::source(cause).and_then(|source| source.downcast_ref()) {
        cause = inner;
    }
    let what = match (cause.kind(), cause.detail()) {
        (ErrorKind::OutOfFuel, _) => "it does too much: an endless loop, or far more output than input".to_owned(),
        (ErrorKind::InvalidOperation, Some(detail)) => detail.to_owned(),
        (kind, Some(detail)) => format!("{kind}: {detail}"),
        (kind, None) => kind.to_string(),
    };
    match cause.line().or(error.line()) {
        Some(line) => Error::Template(format!("line {line}: {what}")),
        None => Error::Template(what),
    }
}
