//! Renders messages as prompt text, with the checkpoint's own Jinja template. Knows no token ids.

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

/// Fuel of a template: one unit pays for an instruction, or for 64 bytes written or read. The official template uses 90
/// units for a message and 1 for 6 bytes. The limit is four times the fuel for its full context of 262,144 tokens.
const FUEL: u64 = 1_000_000;

/// Stack size in bytes. A template can nest values until its fuel ends, at about ten units per level. Printing,
/// comparing and dropping them recurses, with up to 1.8 KB per level in a debug build. Parsing a long row of `not` also
/// recurses. This stack holds all of that with a margin. Only touched pages use memory.
const STACK: usize = 512 << 20;

/// Maximum length of a template in bytes; the official one has 8 KB.
const LONGEST: usize = 128 << 10;

/// Maximum recursion depth, for example of macros that call macros. Low enough for any stack.
const RECURSION: usize = 50;

/// One message of a conversation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// The speaker: `system`, `user`, `assistant` or `tool`.
    pub role: String,
    /// The text of the message.
    #[serde(default)]
    pub content: String,
    /// The assistant's thinking before the content. With `None`, the template looks for it in the content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<String>,
    /// The assistant's tool calls, each `{"function": {"name": …, "arguments": {…}}}` or only the inner object.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<serde_json::Value>,
}

impl Message {
    /// A message with content only.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Message {
        Message { role: role.into(), content: content.into(), ..Message::default() }
    }
}

/// The variables of a template besides the messages.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Options {
    /// Whether the prompt ends with the start of an assistant turn, so that the model answers.
    #[serde(rename = "add_generation_prompt")]
    pub generation_prompt: bool,
    /// Whether the answer includes thinking. With `None` the template decides; its default differs by model.
    #[serde(rename = "enable_thinking", skip_serializing_if = "Option::is_none")]
    pub thinking: Option<bool>,
    /// The tools that the model may call, as JSON schemas of functions.
    #[serde(serialize_with = "none_if_empty")]
    pub tools: Vec<serde_json::Value>,
    /// The tokenizer's beginning-of-text token, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bos_token: Option<String>,
    /// The tokenizer's end-of-text token, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eos_token: Option<String>,
}

/// Transformers passes `None` to a template if there are no tools.
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

/// A compiled chat template. It renders as in transformers.
///
/// A template is downloaded, so it is not trusted. It cannot reach files or the network, and its time, memory and
/// recursion are bounded. One gap remains, in the template engine: a list that contains itself twice, nested many
/// times, is small. Comparing it or joining it to a string is expensive, and that is not counted.
pub struct Template {
    environment: Environment<'static>,
}

impl Template {
    /// Compiles the text of a `chat_template.jinja`.
    ///
    /// # Errors
    /// [`Error::Template`] with the line, for a template that does not compile or is too long.
    pub fn new(source: &str) -> Result<Template> {
        if source.len() > LONGEST {
            return Err(Error::Template(format!("it has {} bytes, expected at most {LONGEST}", source.len())));
        }
        on_large_stack(|| {
            let mut environment = environment()?;
            environment.add_template_owned(NAME, without_generation_tags(source))?;
            Ok(Template { environment })
        })
    }

    /// Compiles the `chat_template` of a tokenizer_config.json: a string, or the entry named `default` of a list of
    /// `{name, template}`. `None` if there is no `chat_template`.
    ///
    /// # Errors
    /// Those of [`Template::new`], and [`Error::Template`] for a `chat_template` of another JSON type.
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

    /// Renders the prompt for `messages`.
    ///
    /// # Errors
    /// [`Error::Template`] with the line: an error that the template raises, an unsupported operation, or too much
    /// work.
    pub fn render(&self, messages: &[Message], options: &Options) -> Result<String> {
        on_large_stack(|| {
            let context = Value::from(Serde(Context { messages, documents: None, options }));
            self.environment.get_template(NAME)?.render(context)
        })
    }
}

/// The template engine with the functions and filters of transformers, and with its limits.
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
    // It indents its output, and for a deep value that costs far more than its fuel.
    environment.remove_filter("pprint");
    Ok(environment)
}

/// Runs `work` on its own thread, since the caller's stack may be small. WebAssembly in a browser has no threads.
fn on_large_stack<T: Send>(work: impl FnOnce() -> std::result::Result<T, minijinja::Error> + Send) -> Result<T> {
    if cfg!(target_family = "wasm") {
        return work().map_err(|error| report(&error));
    }
    thread::scope(|scope| {
        let worker = thread::Builder::new().name(NAME.to_owned()).stack_size(STACK);
        let started = worker.spawn_scoped(scope, || work().map_err(|error| report(&error)));
        let handle = started.map_err(|error| Error::Template(format!("cannot start a thread for it: {error}")))?;
        handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// `{% generation %}` marks text for training. A prompt ignores it, and the template engine does not know it.
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

/// The line and the innermost cause: the message of `raise_exception` or of the template engine.
fn report(error: &minijinja::Error) -> Error {
    let mut cause = error;
    while let Some(inner) = std::error::Error::source(cause).and_then(|source| source.downcast_ref()) {
        cause = inner;
    }
    let what = match (cause.kind(), cause.detail()) {
        (ErrorKind::OutOfFuel, _) => {
            "its work limit is reached: an endless loop, or far more output than input".to_owned()
        }
        (ErrorKind::InvalidOperation, Some(detail)) => detail.to_owned(),
        (kind, Some(detail)) => format!("{kind}: {detail}"),
        (kind, None) => kind.to_string(),
    };
    match cause.line().or(error.line()) {
        Some(line) => Error::Template(format!("line {line}: {what}")),
        None => Error::Template(what),
    }
}
