//! Which dispatches must wait for earlier ones, derived from the access of each binding.

use std::collections::HashSet;

use crate::compute::memory::BufferId;
use crate::compute::{kernel::Dispatch, memory::Resource};

/// The resources that were read or written since the last barrier.
#[derive(Default)]
pub(super) struct Hazards {
    read: HashSet<Place>,
    written: HashSet<Place>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Place {
    Buffer(BufferId),
    Scratch(u32),
}

impl From<&Resource> for Place {
    fn from(resource: &Resource) -> Self {
        match resource {
            Resource::Buffer(buffer) => Place::Buffer(buffer.id()),
            Resource::Scratch(number) => Place::Scratch(*number),
        }
    }
}

impl Hazards {
    /// Whether `dispatch` must wait: it uses a written resource, or writes a read one. Then records the dispatch's own
    /// use.
    pub(super) fn barrier(&mut self, dispatch: &Dispatch) -> bool {
        let uses = || {
            let writes = dispatch.kernel.bindings.iter().map(|binding| binding.access.writes());
            dispatch.resources.iter().map(Place::from).zip(writes)
        };
        let conflict =
            |(place, writes): (Place, bool)| self.written.contains(&place) || (writes && self.read.contains(&place));
        let barrier = uses().any(conflict);
        if barrier {
            self.read.clear();
            self.written.clear();
        }
        for (place, writes) in uses() {
            if writes {
                self.written.insert(place)
            } else {
                self.read.insert(place)
            };
        }
        barrier
    }
}
