//! Prepared recordings: everything that a run needs and that stays the same between runs.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{Arc, Mutex},
    time::Duration,
};

use super::{
    Metal,
    driver::Driver,
    memory::Place,
    queue::{OnEnd, Queue},
    submission_plan::SubmissionPlan,
};
use crate::compute::lock::lock;
use crate::{
    compute::{
        kernel::Dispatch,
        memory::{BufferId, Resource},
        pass::Recorded,
    },
    error::{Error, Result},
};

/// Maximum buffers of a kernel.
const BUFFERS: usize = 31;

/// Maximum bytes of dispatch constants.
const CONSTANTS: usize = 4096;

/// A program of this backend. It owns all its memory; dropping it frees the memory.
pub(super) struct Prepared<D: Driver> {
    /// The program's name in errors.
    label: Arc<str>,
    /// Every buffer that the program uses, once, and whether the program writes it.
    places: Vec<(Arc<Place<D>>, bool)>,
    dispatches: Vec<PreparedDispatch<D>>,
    plan: Arc<SubmissionPlan>,
}

struct PreparedDispatch<D: Driver> {
    pipeline: D::Pipeline,
    /// The index of each binding's buffer in the program's places.
    resources: Vec<usize>,
    /// The dispatch constants, as bytes.
    params: Vec<u8>,
    grid: [u32; 3],
    lanes: u32,
    barrier: bool,
}

impl<D: Driver> Prepared<D> {
    /// Prepares a finished recording.
    pub(super) fn new(backend: &Metal<D>, recorded: &Recorded) -> Result<Self> {
        backend.queue.check()?;
        let dispatches = &recorded.dispatches;
        dispatches.iter().try_for_each(|dispatch| check(dispatch, backend.queue.driver.caps().lanes))?;
        let pipelines = backend.pipelines.of(&backend.queue.driver, dispatches)?;
        let scratch = &recorded.scratch;
        let mut places = Places { backend, scratch, known: HashMap::new(), found: Vec::new() };
        let dispatch = |(dispatch, pipeline): (&Dispatch, D::Pipeline)| {
            Ok(PreparedDispatch {
                pipeline,
                resources: places.of(dispatch)?,
                params: bytemuck::cast_slice(&dispatch.params).to_vec(),
                grid: dispatch.grid,
                lanes: dispatch.lanes,
                barrier: dispatch.barrier,
            })
        };
        let dispatches = dispatches.iter().zip(pipelines).map(dispatch).collect::<Result<Vec<_>>>()?;
        let places = places.found;
        let plan = SubmissionPlan::new(backend.queue.driver.caps().kind, dispatches.len(), backend.submission);
        Ok(Self { label: recorded.label().into(), places, dispatches, plan: Arc::new(plan) })
    }

    /// Encodes and commits the program, in as many command buffers as its plan requires.
    pub(super) fn run(&self, queue: &Queue<D>) -> Result<()> {
        queue.check()?;
        let _commit_lock = queue.commit_lock();
        let (submissions, run) = self.plan.begin();
        let on_end = |_| {
            let plan = self.plan.clone();
            Box::new(move |seconds| plan.ended(run, seconds)) as OnEnd
        };
        let committed = self.commit(queue, &submissions, on_end);
        committed.inspect_err(|_| self.plan.ended(run, None))
    }

    /// Runs each dispatch as a separate command buffer, waits, and returns the duration of each.
    pub(super) fn time(&self, queue: &Queue<D>) -> Result<Vec<Duration>> {
        queue.check()?;
        let times = Arc::new(Mutex::new(vec![Duration::ZERO; self.dispatches.len()]));
        let submissions: Vec<_> = (0..self.dispatches.len()).map(|at| at..at + 1).collect();
        let on_end = |at: usize| {
            let times = times.clone();
            let note = move |seconds: Option<f64>| {
                let time = Duration::try_from_secs_f64(seconds.unwrap_or_default());
                lock(&times)[at] = time.unwrap_or_default();
            };
            Box::new(note) as OnEnd
        };
        let commit_lock = queue.commit_lock();
        self.commit(queue, &submissions, on_end)?;
        drop(commit_lock);
        queue.wait_for_committed(queue.committed());
        queue.check()?;
        Ok(std::mem::take(&mut *lock(&times)))
    }

    /// Commits one command buffer per submission. The caller must hold the commit lock.
    fn commit(&self, queue: &Queue<D>, submissions: &[Range<usize>], on_end: impl Fn(usize) -> OnEnd) -> Result<()> {
        let last = queue.committed() + submissions.len() as u64;
        let buffers: Vec<_> = self.places.iter().map(|(place, writes)| place.used_by(last, *writes)).collect();
        for (number, submission) in submissions.iter().enumerate() {
            let label = self.label_of(submission, submissions.len());
            let mut commands = queue.begin(&label)?;
            let mut encoder = Encoder { driver: &*queue.driver, buffers: &buffers, bound: [None; BUFFERS] };
            for (at, dispatch) in self.dispatches[submission.clone()].iter().enumerate() {
                // A command buffer sees all writes of the earlier ones.
                encoder.encode(&mut commands, dispatch, dispatch.barrier && at > 0);
            }
            queue.commit(commands, label, on_end(number));
        }
        Ok(())
    }

    /// The label of a submission of the program.
    fn label_of(&self, submission: &Range<usize>, submissions: usize) -> Arc<str> {
        match submissions {
            1 => self.label.clone(),
            _ => format!("{} (dispatches {} to {})", self.label, submission.start + 1, submission.end).into(),
        }
    }
}

/// Encodes dispatches into one command buffer, and tracks what is bound.
struct Encoder<'a, D: Driver> {
    driver: &'a D,
    buffers: &'a [D::Buffer],
    bound: [Option<usize>; BUFFERS],
}

impl<D: Driver> Encoder<'_, D> {
    fn encode(&mut self, commands: &mut D::Commands, dispatch: &PreparedDispatch<D>, barrier: bool) {
        if barrier {
            self.driver.barrier(commands);
        }
        self.driver.set_pipeline(commands, &dispatch.pipeline);
        for (at, &place) in dispatch.resources.iter().enumerate() {
            if self.bound[at].replace(place) != Some(place) {
                self.driver.set_buffer(commands, at, &self.buffers[place]);
            }
        }
        if !dispatch.params.is_empty() {
            let at = dispatch.resources.len();
            self.bound[at] = None;
            self.driver.set_bytes(commands, at, &dispatch.params);
        }
        self.driver.dispatch(commands, dispatch.grid, dispatch.lanes);
    }
}

/// The buffers of a program, collected one by one.
struct Places<'a, D: Driver> {
    backend: &'a Metal<D>,
    scratch: &'a [u64],
    known: HashMap<Key, usize>,
    found: Vec<(Arc<Place<D>>, bool)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Buffer(BufferId),
    Scratch(u32),
}

impl<D: Driver> Places<'_, D> {
    /// The places of a dispatch's bindings.
    fn of(&mut self, dispatch: &Dispatch) -> Result<Vec<usize>> {
        let bound = dispatch.resources.iter().zip(dispatch.kernel.bindings);
        let places = bound.map(|(resource, binding)| {
            let at = self.place(resource)?;
            self.found[at].1 |= binding.access.writes();
            Ok(at)
        });
        places.collect()
    }

    fn place(&mut self, resource: &Resource) -> Result<usize> {
        let key = match resource {
            Resource::Buffer(buffer) => Key::Buffer(buffer.id()),
            Resource::Scratch(number) => Key::Scratch(*number),
        };
        if let Some(&at) = self.known.get(&key) {
            return Ok(at);
        }
        let Metal { memory, queue, .. } = self.backend;
        let place = match key {
            Key::Buffer(id) => memory.of(id),
            Key::Scratch(number) => memory.place(queue, self.scratch[number as usize], "scratch")?,
        };
        self.found.push((place, false));
        self.known.insert(key, self.found.len() - 1);
        Ok(self.found.len() - 1)
    }
}

/// Checks that Metal accepts a dispatch.
fn check(dispatch: &Dispatch, max_lanes: u32) -> Result<()> {
    let lanes =
        dispatch.grid.iter().fold(u64::from(dispatch.lanes), |lanes, &groups| lanes.saturating_mul(groups.into()));
    let bindings = dispatch.resources.len() + usize::from(!dispatch.params.is_empty());
    let constants = size_of_val(&*dispatch.params);
    let refuse = |what| Err(Error::Device { label: dispatch.label(), what });
    match () {
        () if dispatch.lanes > max_lanes => refuse(format!("{} lanes; this device allows {max_lanes}", dispatch.lanes)),
        () if lanes > u64::from(u32::MAX) => {
            let [grid, lanes] = [&dispatch.grid[..], &[dispatch.lanes]];
            refuse(format!("a grid of {grid:?} workgroups of {lanes:?} lanes; Metal allows {} lanes", u32::MAX))
        }
        () if bindings > BUFFERS => refuse(format!("{bindings} bindings; Metal allows {BUFFERS}")),
        () if constants > CONSTANTS => refuse(format!("{constants} bytes of constants; Metal allows {CONSTANTS}")),
        () => Ok(()),
    }
}
