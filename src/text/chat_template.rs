//! Renders messages as prompt text, with the checkpoint's own Jinja template. Knows no token ids.

mod arguments;
mod filters;
mod format;
mod json;
mod metered;
mod methods;
mod python;
mod repr;
mod rewrite;
mod tests;
mod time;

use std::{collections::BTreeMap, thread};

use minijinja::{Environment, ErrorKind, Value, syntax::SyntaxConfig, value::Serde};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};
use rewrite::rewrite;

const NAME: &str = "chat_template";

/// The name of a second template, for conversations with tools.
const WITH_TOOLS: &str = "tool_use";

/// Fuel of a template: one unit pays for an instruction, or for 64 bytes written or read. The official template uses 90
/// units for a message and 1 for 6 bytes. The limit is four times the fuel for its full context of 262,144 tokens.
const FUEL: u64 = 1_000_000;

/// Stack size for rendering, in bytes. A template can nest values until its fuel ends, at about ten units per level.
/// Printing, comparing and dropping them recurses, with up to 1.8 KB per level in a debug build. This stack holds all
/// of that with a margin. Only touched pages use memory.
const STACK: usize = 512 << 20;

/// Stack size for compiling: a part of its own, and a part for each byte of the template. A long row of signs recurses.
const COMPILING: usize = 8 << 20;
const STACK_PER_BYTE: usize = 2 << 10;

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
}

/// Transformers passes `None` to a template if there are no tools.
fn none_if_empty<S>(tools: &[serde_json::Value], serializer: S) -> std::result::Result<S::Ok, S::Error>
where
    S: serde::Serializer,
{
    if tools.is_empty() { serializer.serialize_none() } else { tools.serialize(serializer) }
}

/// A message as a template sees it. Some templates call the thinking `thinking`, as transformers does too.
#[derive(Serialize)]
struct Seen<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<&'a str>,
    #[serde(flatten)]
    message: &'a Message,
}

#[derive(Serialize)]
struct Context<'a> {
    messages: Vec<Seen<'a>>,
    documents: Option<()>,
    #[serde(flatten)]
    options: &'a Options,
}

impl<'a> Context<'a> {
    fn new(messages: &'a [Message], options: &'a Options) -> Context<'a> {
        let seen = |message: &'a Message| Seen { thinking: message.reasoning_content.as_deref(), message };
        Context { messages: messages.iter().map(seen).collect(), documents: None, options }
    }
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
        let environment = environment().map_err(|error| report(&error))?;
        let mut template = Template { environment };
        template.add(NAME, source)?;
        Ok(template)
    }

    /// Compiles the `chat_template` of a tokenizer_config.json: a string, or a list of `{name, template}`. Of a list,
    /// `default` is used, and `tool_use` where tools are given. `None` if there is no `chat_template`.
    ///
    /// # Errors
    /// Those of [`Template::new`], and [`Error::Template`] for a `chat_template` of another JSON type.
    pub fn from_tokenizer_config(json: &serde_json::Value) -> Result<Option<Template>> {
        let named = |name: &'static str| move |entry: &&serde_json::Value| entry.get("name").is_some_and(|n| n == name);
        let text = |entry: &serde_json::Value| entry.get("template").and_then(|text| text.as_str().map(str::to_owned));
        let (default, tools) = match json.get("chat_template") {
            None | Some(serde_json::Value::Null) => return Ok(None),
            Some(serde_json::Value::Array(list)) => {
                let entry = |name| list.iter().find(named(name)).and_then(text);
                (entry("default"), entry(WITH_TOOLS))
            }
            Some(one) => (one.as_str().map(str::to_owned), None),
        };
        let what = "chat_template of tokenizer_config.json is neither a string nor a list with a default";
        let mut template = Template::new(&default.ok_or_else(|| Error::Template(what.to_owned()))?)?;
        if let Some(source) = tools {
            template.add(WITH_TOOLS, &source)?;
        }
        Ok(Some(template))
    }

    /// Makes the checkpoint's special tokens visible to the template, each under its name, such as `eos_token`.
    #[must_use]
    pub fn with_tokens(mut self, special: &BTreeMap<String, String>) -> Template {
        for (name, token) in special {
            self.environment.add_global(name.clone(), token.clone());
        }
        self
    }

    /// Compiles one more template of the checkpoint.
    fn add(&mut self, name: &'static str, source: &str) -> Result<()> {
        if source.len() > LONGEST {
            return Err(Error::Template(format!("it has {} bytes, expected at most {LONGEST}", source.len())));
        }
        let source =
            rewrite(source).map_err(|fault| Error::Template(format!("line {}: {}", fault.line, fault.what)))?;
        on_stack(COMPILING + STACK_PER_BYTE * source.len(), || self.environment.add_template_owned(name, source))
    }

    /// Renders the prompt for `messages`.
    ///
    /// # Errors
    /// [`Error::Template`] with the line: an error that the template raises, an unsupported operation, or too much
    /// work.
    pub fn render(&self, messages: &[Message], options: &Options) -> Result<String> {
        on_stack(STACK, || {
            let context = Value::from(Serde(Context::new(messages, options)));
            let with_tools =
                (!options.tools.is_empty()).then(|| self.environment.get_template(WITH_TOOLS).ok()).flatten();
            with_tools.map_or_else(|| self.environment.get_template(NAME), Ok)?.render(context)
        })
    }
}

/// The template engine with the functions, filters, tests and methods of Python, and with its limits.
fn environment() -> std::result::Result<Environment<'static>, minijinja::Error> {
    let mut environment = Environment::new();
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_unknown_method_callback(methods::call);
    environment.add_filter("batch_of_engine", minijinja::filters::batch);
    environment.add_filter("slice_of_engine", minijinja::filters::slice);
    python::add(&mut environment);
    filters::add(&mut environment);
    tests::add(&mut environment);
    environment.set_formatter(python::write);
    environment.set_recursion_limit(RECURSION);
    environment.set_fuel(Some(FUEL));
    environment.set_debug(false);
    Ok(environment)
}

/// Runs `work` on its own thread with this stack size, since the caller's stack may be small. WebAssembly in a browser
/// has no threads.
fn on_stack<T: Send>(size: usize, work: impl FnOnce() -> std::result::Result<T, minijinja::Error> + Send) -> Result<T> {
    if cfg!(target_family = "wasm") {
        return work().map_err(|error| report(&error));
    }
    thread::scope(|scope| {
        let worker = thread::Builder::new().name(NAME.to_owned()).stack_size(size);
        let started = worker.spawn_scoped(scope, || work().map_err(|error| report(&error)));
        let handle = started.map_err(|error| Error::Template(format!("cannot start a thread for it: {error}")))?;
        handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
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
