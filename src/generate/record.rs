//! Writes an answer into the messages of its conversation.

use crate::text::chat_template::Message;

/// The messages of a conversation while it is answered: the question, and the answer so far, are the last two.
pub(super) struct Record<'a> {
    messages: &'a mut Vec<Message>,
}

impl<'a> Record<'a> {
    /// Begins an empty answer to the question, which is the last message.
    pub(super) fn begin(messages: &'a mut Vec<Message>) -> Self {
        messages.push(Message::new("assistant", ""));
        Self { messages }
    }

    pub(super) fn add(&mut self, text: &str) {
        if let Some(answer) = self.messages.last_mut() {
            answer.content.push_str(text);
        }
    }

    /// Takes back the answer and its question, which can then be asked again.
    pub(super) fn take_back(&mut self) {
        self.messages.truncate(self.messages.len().saturating_sub(2));
    }
}
