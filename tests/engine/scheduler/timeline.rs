//! The simulated engine's record of one sequence, and the result of computing it alone.

use std::collections::BTreeSet;

use bimetal::low_level::engine::scheduler::Snapshot;

pub const CUT: u64 = 1;
pub const SINGLE: u64 = 2;

/// The test's record of one sequence.
#[derive(Clone, Default)]
pub struct Timeline {
    /// Content and origin of each token.
    pub tokens: Vec<(u64, bool)>,
    /// The ends of given tokens when they were given.
    pub ends: BTreeSet<usize>,
    pub computed: usize,
    pub max_len: usize,
    pub snapshots: Vec<Snapshot>,
    pub used: u64,
}

pub fn mix(state: u64, value: u64) -> u64 {
    let mixed = (state.rotate_left(23) ^ value).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed ^ (mixed >> 29)
}

impl Timeline {
    pub fn give(&mut self, count: usize, dice: &mut u64) {
        for _ in 0..count {
            self.say(true, dice);
        }
        self.ends.insert(self.tokens.len());
    }

    pub fn say(&mut self, given: bool, dice: &mut u64) {
        *dice = mix(*dice, 7);
        self.tokens.push((*dice, given));
    }

    /// The state after the first `count` tokens, computed alone from the start, each prompt in one go.
    pub fn state(&self, count: usize, align: usize) -> u64 {
        (0..count).fold(0, |state, place| {
            let (token, given) = self.tokens[place];
            let cut = (place + 1).is_multiple_of(align) || self.ends.contains(&(place + 1));
            let state = mix(state, token);
            if !given {
                mix(state, SINGLE)
            } else if cut {
                mix(state, CUT)
            } else {
                state
            }
        })
    }

    /// The next work of a step within `left` tokens: start, length, whether it is sampled.
    pub fn next(&self, left: usize, align: usize) -> Option<(usize, usize, bool)> {
        let (start, known) = (self.computed, self.tokens.len());
        let given = self.tokens.get(start)?.1;
        let reach = if given { known.min(start + left) } else { start + left.min(1) };
        let cut = |end: &usize| !given || end.is_multiple_of(align) || self.ends.contains(end);
        let stop = if given { *self.ends.range(start + 1..).next().unwrap() } else { start + 1 };
        let end = (start + 1..=reach.min(stop)).rev().find(cut)?;
        Some((start, end - start, end == known && known < self.max_len))
    }
}
