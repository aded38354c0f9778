//! A link, a service and an HTTP client in virtual time, as a discrete-event simulation.
//!
//! A request crosses the link in one round trip, plus up to 20 % of jitter. On a new connection it takes three. The
//! contents that move share the bandwidth equally. A request that the service rejects comes back after its round trip,
//! and its file is tried again 0.5 s, 1 s, 2 s, ... later.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};
use std::ops::Range;
use std::time::Duration;

use super::{Concurrency, Event};

/// A link and the service at its end.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    /// The bytes per second of all connections together.
    pub(crate) bandwidth: f64,
    /// The bytes per second of one connection.
    pub(crate) connection: f64,
    /// The seconds of a round trip.
    pub(crate) delay: f64,
    /// The service rejects a request while it has so many others.
    pub(crate) accepts: usize,
    /// The service rejects every request in these seconds.
    pub(crate) outage: Range<f64>,
    /// The service moves less in all, in proportion, the more contents than so many it moves at once.
    pub(crate) slower_above: usize,
    /// The HTTP client repeats a rejected request itself, up to three times, and holds all others back for 0.5 s.
    pub(crate) client_retries: bool,
}

impl Link {
    pub(crate) fn new(bandwidth: f64, delay: f64) -> Self {
        Self {
            bandwidth,
            connection: f64::INFINITY,
            delay,
            accepts: usize::MAX,
            outage: 0.0..0.0,
            slower_above: usize::MAX,
            client_retries: false,
        }
    }
}

/// The result of a run.
#[derive(Debug, Default)]
pub(crate) struct Run {
    /// The bytes of content that were moved, and the limit, at the end of each tick.
    pub(crate) ticks: Vec<(f64, usize)>,
    /// The time of the first rejection.
    pub(crate) first_rejection: Option<f64>,
    /// The first time after it at which the limit was below the number of requests that the service accepts.
    pub(crate) below: Option<f64>,
    /// The highest number of requests for one file.
    pub(crate) most_tries: u32,
    /// The time of the end.
    pub(crate) end: f64,
}

/// The seconds between two ticks.
const TICK: f64 = 0.5;

impl Run {
    /// Returns the bytes that were moved in the seconds of `range`.
    pub(crate) fn bytes(&self, range: Range<f64>) -> f64 {
        let until = |time: f64| match (time / TICK) as usize {
            0 => 0.0,
            tick => self.ticks[tick - 1].0,
        };
        until(range.end) - until(range.start)
    }

    /// Returns the limit at a time in seconds.
    pub(crate) fn limit(&self, time: f64) -> usize {
        self.ticks[(time / TICK) as usize - 1].1
    }
}

/// Runs transfers of files with these sizes until all are done, or for so many seconds.
pub(crate) fn run(link: &Link, sizes: impl Iterator<Item = u64>, concurrency: Concurrency, seconds: f64) -> Run {
    let mut simulation = Simulation {
        link: link.clone(),
        concurrency,
        now: 0.0,
        steps: BinaryHeap::new(),
        scheduled: 0,
        files: Vec::new(),
        repeated: VecDeque::new(),
        moving: BinaryHeap::new(),
        share: 0.0,
        moved: 0.0,
        reported: 0.0,
        in_flight: 0,
        accepted: 0,
        idle_connections: 0,
        held_back_until: 0.0,
        random: 88_172_645_463_325_252,
        run: Run::default(),
    };
    simulation.run(sizes, seconds);
    simulation.run.end = simulation.now;
    simulation.run
}

struct Simulation {
    link: Link,
    concurrency: Concurrency,
    /// The time in seconds.
    now: f64,
    /// The coming events, in the order of their times, and at one time in that of their scheduling.
    steps: BinaryHeap<Reverse<(Time, u64, Step)>>,
    scheduled: u64,
    files: Vec<File>,
    /// The files that are tried again.
    repeated: VecDeque<usize>,
    /// The contents that move, by the share at which each is complete.
    moving: BinaryHeap<Reverse<(Time, usize)>>,
    /// The bytes that a content has moved that has moved since the beginning.
    share: f64,
    moved: f64,
    /// The part of `moved` that was observed.
    reported: f64,
    in_flight: usize,
    accepted: usize,
    idle_connections: usize,
    held_back_until: f64,
    random: u64,
    run: Run,
}

struct File {
    size: u64,
    started: f64,
    tries: u32,
    attempts_of_client: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Move(usize),
    Reject(usize),
    Repeat(usize),
    Tick,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Time(f64);

impl Eq for Time {}

impl PartialOrd for Time {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Time {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl Simulation {
    fn run(&mut self, mut sizes: impl Iterator<Item = u64>, seconds: f64) {
        self.schedule(TICK, Step::Tick);
        while self.now < seconds {
            self.start_requests(&mut sizes);
            let waits = |step: &Reverse<(Time, u64, Step)>| matches!(step.0.2, Step::Repeat(_));
            if self.in_flight == 0 && self.repeated.is_empty() && !self.steps.iter().any(waits) {
                return;
            }
            let rate = self.rate();
            let complete = self.moving.peek().map_or(f64::INFINITY, |next| self.now + (next.0.0.0 - self.share) / rate);
            let next_step = self.steps.peek().map_or(f64::INFINITY, |next| next.0.0.0);
            let elapsed = (complete.min(next_step) - self.now).max(0.0);
            self.now += elapsed;
            self.share += rate * elapsed;
            self.moved += rate * elapsed * self.moving.len() as f64;
            if complete <= next_step {
                self.complete();
            } else if let Some(Reverse((_, _, step))) = self.steps.pop() {
                self.step(step);
            }
            let is_below = self.run.first_rejection.is_some() && self.concurrency.limit() < self.link.accepts;
            if is_below {
                self.run.below.get_or_insert(self.now);
            }
        }
    }

    fn start_requests(&mut self, sizes: &mut impl Iterator<Item = u64>) {
        while self.in_flight < self.concurrency.limit() {
            let file = if let Some(file) = self.repeated.pop_front() {
                file
            } else if let Some(size) = sizes.next() {
                self.files.push(File { size, started: 0.0, tries: 0, attempts_of_client: 0 });
                self.files.len() - 1
            } else {
                return;
            };
            self.files[file].started = self.now;
            self.files[file].tries += 1;
            self.run.most_tries = self.run.most_tries.max(self.files[file].tries);
            self.in_flight += 1;
            self.observe(Event::Started);
            self.send(file, self.now.max(self.held_back_until));
        }
    }

    fn send(&mut self, file: usize, at: f64) {
        let round_trips = if self.idle_connections > 0 { 1.0 } else { 3.0 };
        self.idle_connections = self.idle_connections.saturating_sub(1);
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let jitter = 1.0 + 0.2 * (self.random % 1000) as f64 / 1000.0;
        let response = at + self.link.delay * round_trips * jitter;
        if self.accepted >= self.link.accepts || self.link.outage.contains(&at) {
            self.schedule(response, Step::Reject(file));
        } else {
            self.accepted += 1;
            self.schedule(response, Step::Move(file));
        }
    }

    /// Returns the bytes per second of each content that moves.
    fn rate(&self) -> f64 {
        let moving = self.moving.len() as f64;
        let slower = (moving / self.link.slower_above as f64).max(1.0);
        self.link.connection.min(self.link.bandwidth / slower / moving.max(1.0))
    }

    fn complete(&mut self) {
        let Some(Reverse((_, file))) = self.moving.pop() else { return };
        self.report_moved();
        let File { size: bytes, started, .. } = self.files[file];
        self.observe(Event::Done { bytes, latency: Duration::from_secs_f64(self.now - started) });
        self.in_flight -= 1;
        self.accepted -= 1;
        self.idle_connections += 1;
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Move(file) => self.moving.push(Reverse((Time(self.share + self.files[file].size as f64), file))),
            Step::Repeat(file) => self.repeated.push_back(file),
            Step::Reject(file) => self.reject(file),
            Step::Tick => {
                self.report_moved();
                self.run.ticks.push((self.moved, self.concurrency.limit()));
                self.schedule(self.now + TICK, Step::Tick);
            }
        }
    }

    fn reject(&mut self, file: usize) {
        self.idle_connections += 1;
        self.run.first_rejection.get_or_insert(self.now);
        let attempts = &mut self.files[file].attempts_of_client;
        *attempts = (*attempts + 1) % 4;
        if self.link.client_retries && *attempts > 0 {
            let wait = 0.5 * f64::from(1 << (*attempts - 1));
            self.held_back_until = self.now + 0.5;
            self.send(file, self.now + wait);
            return;
        }
        self.observe(Event::Rejected);
        self.in_flight -= 1;
        let wait = 0.5 * f64::from(1 << (self.files[file].tries - 1));
        self.schedule(self.now + wait, Step::Repeat(file));
    }

    fn report_moved(&mut self) {
        let bytes = (self.moved - self.reported) as u64;
        self.reported += bytes as f64;
        self.observe(Event::Moved(bytes));
    }

    fn observe(&mut self, event: Event) {
        self.concurrency.observe(Duration::from_secs_f64(self.now), self.in_flight, event);
    }

    fn schedule(&mut self, time: f64, step: Step) {
        self.scheduled += 1;
        self.steps.push(Reverse((Time(time), self.scheduled, step)));
    }
}
