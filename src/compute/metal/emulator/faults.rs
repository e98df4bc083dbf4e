//! Faults of a running shader, as text.

use super::kernel::Kernel;

/// The runtime's report on a workgroup, as in runtime.cpp.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Report {
    kind: u32,
    site: u32,
    other: u32,
    lane: u32,
    other_lane: u32,
    returned: u32,
    /// Number of the threadgroup variable, plus one.
    array: u32,
    address: u64,
}

/// A bound buffer: its name, address and size in bytes.
pub(super) type Bound<'a> = (&'a str, usize, usize);

impl Report {
    /// The report as text, with kernel and line.
    pub(super) fn of(&self, kernel: &Kernel, bound: &[Bound<'_>]) -> String {
        let [at, other] = [self.site, self.other].map(|site| kernel.line(site >> 8));
        let (lane, second) = (self.lane, self.other_lane);
        let what = match self.kind {
            1 => format!("lanes that must meet are apart: some at {at}, lane {second} at {other}"),
            2 if self.other != 0 => {
                format!("lanes wait for each other forever: lane {lane} at {at}, lane {second} at {other}")
            }
            2 => format!("lane {lane} waits at {at} for lanes that have returned, {} of them", self.returned),
            3 => {
                format!("lanes of a SIMD group disagree about matrix operations: the last one of lane {lane} is {at}")
            }
            4 => format!("lane {lane} reads or writes {}{}", self.place(kernel, bound), since(self.site, &at)),
            5 => format!("lane {lane} indexes an array past its end{}", since(self.site, &at)),
            6 => format!("lane {lane} divides by zero"),
            7 => format!(
                "{} bytes of threadgroup memory, of at most 32768, or more than 64 variables, with `{}`",
                self.address,
                self.array(kernel)
            ),
            8 => format!("a barrier that orders no memory, at {at}"),
            _ => "out of memory for the stacks of lanes".into(),
        };
        format!("{}: {what}", kernel.label)
    }

    fn array<'a>(&self, kernel: &'a Kernel) -> &'a str {
        kernel.shared.get(self.array as usize - 1).map_or("?", String::as_str)
    }

    /// Describes an address that the shader must not access.
    fn place(&self, kernel: &Kernel, bound: &[Bound<'_>]) -> String {
        if self.array > 0 {
            return format!("outside of threadgroup memory `{}`", self.array(kernel));
        }
        let address = self.address as usize;
        let distance = |(_, start, bytes): &Bound<'_>| match address {
            below if below < *start => start - below,
            above => above.saturating_sub(start + bytes),
        };
        let nearest = bound.iter().min_by_key(|bound| distance(bound)).filter(|bound| distance(bound) < 1 << 24);
        match nearest {
            Some(&(name, start, bytes)) if address < start => {
                format!("{} bytes before buffer `{name}` of {bytes} bytes", start - address)
            }
            Some(&(name, start, bytes)) => format!("byte {} of buffer `{name}` of {bytes} bytes", address - start),
            None => format!("address {address:#x}, which is no buffer's"),
        }
    }
}

fn since(site: u32, line: &str) -> String {
    if site == 0 { String::new() } else { format!(", after {line}") }
}
