//! What is told of a text after its end: counts, speeds, and why it ended.

use std::time::Duration;

use bimetal::{
    Generator,
    low_level::{
        generate::{EndReason, Timing},
        text::tokenizer::SpecialTokens,
    },
};

use super::figures::counted;

/// The counts and times of one text, or of all answers of a conversation.
#[derive(Clone, Copy, Default)]
pub struct Speeds {
    answers: usize,
    prompt: usize,
    reused: usize,
    generated: usize,
    /// Tokens after the first of their text.
    decoded: usize,
    first: Duration,
    rest: Duration,
}

impl Speeds {
    /// The figures of one text.
    pub fn of(timing: &Timing) -> Self {
        Self {
            answers: 1,
            prompt: timing.prompt,
            reused: timing.reused,
            generated: timing.generated,
            decoded: timing.generated.saturating_sub(1),
            first: timing.first,
            rest: timing.rest,
        }
    }

    /// Adds those of another text.
    pub fn add(&mut self, other: Self) {
        self.answers += other.answers;
        self.prompt += other.prompt;
        self.reused += other.reused;
        self.generated += other.generated;
        self.decoded += other.decoded;
        self.first += other.first;
        self.rest += other.rest;
    }

    /// Whether there was no answer.
    pub fn is_empty(&self) -> bool {
        self.answers == 0
    }

    /// One line with counts and speeds of one text.
    pub fn line(&self) -> String {
        let first = self.first.as_secs_f64() * 1e3;
        format!(
            "{}{}, prefill {:.0} tok/s, first token {first:.0} ms, {}{}",
            plain(self.prompt, "prompt token"),
            self.reused(),
            rate(self.prompt - self.reused, self.first),
            plain(self.generated, "token"),
            self.decode(),
        )
    }

    /// One line with the sums over a conversation.
    pub fn total(&self) -> String {
        format!(
            "{}: {}{}, prefill {:.0} tok/s, {}{}",
            counted(self.answers, "answer"),
            plain(self.prompt, "prompt token"),
            self.reused(),
            rate(self.prompt - self.reused, self.first),
            plain(self.generated, "token"),
            self.decode(),
        )
    }

    /// Empty where no token followed the first: then there is no speed.
    fn decode(&self) -> String {
        if self.decoded == 0 { String::new() } else { format!(", decode {:.1} tok/s", rate(self.decoded, self.rest)) }
    }

    fn reused(&self) -> String {
        if self.reused > 0 { format!(" ({} reused)", self.reused) } else { String::new() }
    }
}

/// A count without separators: programs read these lines.
fn plain(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn rate(tokens: usize, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { tokens as f64 / time.as_secs_f64() }
}

/// Why a text ended, in words.
pub fn ended(generator: &Generator, reason: Option<&EndReason>, max_tokens: usize) -> String {
    match reason {
        Some(EndReason::StopId(id)) => {
            let token = generator.text.tokenizer.decode(&[*id], SpecialTokens::Show);
            format!("ended by the model's {token}")
        }
        Some(EndReason::StopString(string)) => format!("ended by --stop {string:?}"),
        Some(EndReason::MaxTokens) => format!("ended by -n {max_tokens}"),
        Some(EndReason::ContextFull) => format!("ended by the context of {} tokens", generator.engine().plan().context),
        None => "interrupted".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_token_is_singular_and_sums_leave_out_first_tokens() {
        let one =
            Speeds { answers: 1, prompt: 1, generated: 1, first: Duration::from_millis(100), ..Speeds::default() };
        assert_eq!(one.line(), "1 prompt token, prefill 10 tok/s, first token 100 ms, 1 token");
        let mut sum = one;
        let second = Duration::from_secs(1);
        sum.add(Speeds { answers: 1, prompt: 30, reused: 20, generated: 6, decoded: 5, first: second, rest: second });
        assert_eq!(
            sum.total(),
            "2 answers: 31 prompt tokens (20 reused), prefill 10 tok/s, 7 tokens, decode 5.0 tok/s"
        );
    }
}
