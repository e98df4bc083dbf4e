//! `generate`: continues a text and streams it.

mod json;

use std::{
    fs::File,
    io::{IsTerminal, Read, stdin, stdout},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bimetal::{
    Conversation, Error, GenerationOptions, Generator, Result, Stream,
    low_level::generate::{EndReason, Timing},
};
use clap::Args;

use super::{
    figures::size,
    interrupt::{self, watch},
    model::{DeviceArguments, EngineArguments, ModelArguments, load},
    output::{OutputArguments, note, print, print_json},
    sampling::{SamplingArguments, described},
    speeds::{Speeds, ended},
    warm_up::warm_up,
    wrap::{Wrap, columns},
};

/// Maximum bytes of a prompt: more than any context holds.
const LONGEST: u64 = 64 << 20;

/// Flags of `generate`.
#[derive(Args)]
pub struct Arguments {
    /// The beginning of the text; standard input without its last line end if absent or `-`
    prompt: Option<String>,
    /// The same as PROMPT
    #[arg(short = 'p', long = "prompt", value_name = "PROMPT", conflicts_with = "prompt", hide = true)]
    prompt_flag: Option<String>,
    /// Read the beginning of the text from a file, without its last line end; standard input if `-`
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["prompt", "prompt_flag"], help_heading = "Prompt")]
    file: Option<PathBuf>,
    /// Answer one question: the model's chat template is written around it
    #[arg(long, help_heading = "Prompt")]
    chat: bool,
    #[command(flatten)]
    model: ModelArguments,
    #[command(flatten)]
    sampling: SamplingArguments,
    #[command(flatten)]
    output: OutputArguments,
    /// Write only what is new, without the beginning of the text
    #[arg(long, visible_alias = "no-display-prompt", help_heading = "Output")]
    no_echo: bool,
    /// Write one JSON object: text, ids of prompt and answer, why it ended, seed, settings and times
    #[arg(long, help_heading = "Output")]
    json: bool,
    #[command(flatten)]
    device: DeviceArguments,
    #[command(flatten)]
    engine: EngineArguments,
}

/// Continues a text on standard output; settings, speeds and memory go to standard error.
pub fn run(arguments: &Arguments) -> Result<()> {
    arguments.output.apply();
    let prompt = arguments.prompt()?;
    let checkpoint = arguments.model.open()?;
    let backend = arguments.device.open()?;
    let mut generator = load(&backend, &checkpoint, arguments.engine.options(1, 0))?;
    drop(checkpoint);
    let options = arguments.sampling.options(generator.generation_options());
    warm_up(&mut generator, &options);
    let paint = arguments.output.paint_notes();
    let settings = described(&options, generator.engine().plan().context);
    let mut conversation = Conversation::default();
    // Only JSON has the ids of the prompt.
    let asked = match arguments.chat && arguments.json {
        true => conversation.prompt(&generator, &prompt)?,
        false => prompt.clone(),
    };
    let stream = match arguments.chat {
        true => conversation.say(&mut generator, &prompt, &options)?,
        false => generator.stream(&prompt, &options)?,
    };
    if !arguments.json {
        note(&paint.dim(&settings));
    }
    let echoed = !(arguments.no_echo || arguments.chat || arguments.json);
    // A pipe gets the text unchanged.
    let mut wrap = Wrap::new(columns(stdout()));
    if echoed {
        print(&wrap.push_harmless(&prompt))?;
    }
    let answer = Answer::read(stream, (!arguments.json).then_some(&mut wrap))?;
    if arguments.json {
        return print_json(&answer.as_json(&generator, &arguments.model.name(), &asked, &options)?);
    }
    print(&format!("{}\n", wrap.finish()))?;
    note(&paint.dim(&answer.closing(&generator, &options)));
    Ok(())
}

impl Arguments {
    /// The beginning of the text.
    fn prompt(&self) -> Result<String> {
        let dash = Path::new("-");
        let prompt = match (self.prompt.as_deref().or(self.prompt_flag.as_deref()), self.file.as_deref()) {
            (Some(prompt), _) if prompt != "-" => return required(prompt.into()),
            (None, Some(file)) if file != dash => from_file(file)?,
            _ => from_stdin()?,
        };
        required(without_line_end(prompt))
    }
}

fn required(prompt: String) -> Result<String> {
    if prompt.is_empty() {
        let what = "the prompt is empty: give the beginning of a text, as an argument or on standard input";
        return Err(Error::Request(what.into()));
    }
    Ok(prompt)
}

fn from_stdin() -> Result<String> {
    if stdin().is_terminal() {
        note("the beginning of the text, then Ctrl-D at the start of a line:");
    }
    let source = "standard input";
    decoded(stdin(), Path::new(source))
}

fn from_file(path: &Path) -> Result<String> {
    let file = File::open(path).map_err(Error::io(path))?;
    if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        return Err(Error::Format { file: path.into(), what: "it is a directory; give a file of text".into() });
    }
    decoded(file, path)
}

/// A text without a byte order mark.
fn decoded(reader: impl Read, source: &Path) -> Result<String> {
    let broken = |what: String| Error::Format { file: source.into(), what };
    let mut bytes = Vec::new();
    reader.take(LONGEST + 1).read_to_end(&mut bytes).map_err(Error::io(source))?;
    if bytes.len() as u64 > LONGEST {
        return Err(broken(format!("it is longer than {}, which fits no context", size(LONGEST))));
    }
    let text = String::from_utf8(bytes).map_err(|_| broken("it is not UTF-8; convert it first".into()))?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

fn without_line_end(mut text: String) -> String {
    let line_end = if text.ends_with("\r\n") { 2 } else { usize::from(text.ends_with('\n')) };
    text.truncate(text.len() - line_end);
    text
}

/// A text after its end.
struct Answer {
    text: String,
    tokens: Vec<u32>,
    reason: Option<EndReason>,
    timing: Timing,
}

impl Answer {
    /// Reads a text to its end, and prints it meanwhile with lines as `wrap` breaks them.
    fn read(mut stream: Stream<'_>, mut wrap: Option<&mut Wrap>) -> Result<Self> {
        let (mut text, interrupted) = (String::new(), Arc::new(AtomicBool::new(false)));
        watch(&interrupted, "")?;
        while !interrupted.load(Ordering::Relaxed) {
            let Some(piece) = stream.next() else { break };
            // The last word may still come in parts, unless the text ends here.
            if let Some(wrap) = &mut wrap {
                print(&if let Ok(piece) = &piece { wrap.push_harmless(piece) } else { wrap.finish() })?;
            }
            let piece = piece?;
            text += &piece;
        }
        let (reason, timing) = (stream.reason().cloned(), stream.timing());
        if reason.is_none() {
            interrupt::end();
        }
        Ok(Self { text, tokens: stream.tokens().to_vec(), reason, timing })
    }

    /// One line: figures, why the text ended, and its seed.
    fn closing(&self, generator: &Generator, options: &GenerationOptions) -> String {
        let (figures, memory) = (Speeds::of(&self.timing).line(), generator.engine().memory().div_ceil(1 << 20));
        let ended = ended(generator, self.reason.as_ref(), options.max_tokens);
        let seed = options.sampling.seed.map_or_else(String::new, |seed| format!(", seed {seed}"));
        format!("{figures}, device memory {memory} MiB; {ended}{seed}")
    }
}
