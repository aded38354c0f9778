//! [`Concurrency`]: the number of requests that may be in flight, as a pure function of what was observed. It reads no
//! clock and sends nothing.
//!
//! 1. **Start.** 128 requests may be in flight at once. Each one that is done adds one, so that the limit doubles in
//!    each round trip. The start ends when two rounds in a row raise the rate by less than a tenth. The limit is then
//!    that of the highest rate.
//! 2. **Hold.** The limit stays for 1 s to 8 s, and the rate is measured.
//! 3. **Trial.** A limit that is a quarter higher or lower is tried for two rounds. It stays if the rate gains at least
//!    a tenth of what the limit gains, in proportion, or loses at most a tenth of what it loses; the next trial then
//!    has twice the step. Otherwise the old limit returns, the next trial goes in the other direction, and the pause
//!    before it doubles.
//! 4. **Retreat.** Each request that the service rejects takes one place away at once, and the first one takes two.
//!    After one round trip, the limit is just below the number of requests that the service accepts. The first trial
//!    after it adds one place.

use std::time::Duration;

/// The first limit. Many small files over a long link need it, and large files are limited by their memory.
const START: usize = 128;

/// The highest limit, unless a lower one is set. It needs as many sockets, and as many open files.
pub(crate) const MAX: usize = 256;

/// The lowest limit of a trial: one connection that stalls must not stall everything.
const LOWEST_TRIAL: usize = 4;

/// The shortest and the longest round. In between, a round takes as long as one of its requests, so that each place was
/// used about once.
const ROUND: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// The fewest requests of a round that is shorter than the longest one. The rate of fewer requests says little.
const REQUESTS_IN_ROUND: usize = 32;

/// The shortest and the longest pause between two trials.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(8));

/// The work of a request with little or no content, in bytes. A rate is the work in a second. If it were only the bytes
/// of the content, it would fall when smaller files follow, and would be zero while files are deleted.
pub(crate) const LEAST_WORK: u64 = 64 * 1024;

/// A limit of the requests in flight that adapts to the link and to the service, or that is fixed.
#[derive(Debug, Clone)]
pub(crate) struct Concurrency {
    limit: usize,
    /// The highest limit.
    most: usize,
    phase: Phase,
    round: Round,
    /// The most requests in flight in the last round.
    last_peak: usize,
    direction: Direction,
    /// The step of the next trial. 0: a quarter of the limit.
    step: usize,
    pause: Duration,
}

/// An event of one request.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Event {
    /// It was sent.
    Started,
    /// So many bytes of its content were moved.
    Moved(u64),
    /// It has succeeded or failed, after it moved so many bytes.
    Done { bytes: u64, latency: Duration },
    /// The service rejected it, because there are too many requests or because the service is unavailable.
    Rejected,
}

#[derive(Debug, Clone)]
enum Phase {
    Fixed,
    Start { best: Measured, rounds_without_gain: u32 },
    Hold { since: Duration, rounds: u32, rate: f64 },
    Trial { base: Measured, rounds: u32 },
    Retreat,
}

/// A limit, and the rate at that limit.
#[derive(Debug, Clone, Copy)]
struct Measured {
    limit: usize,
    rate: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Higher,
    Lower,
}

/// The observations since the beginning of a round.
#[derive(Debug, Clone, Default)]
struct Round {
    began: Duration,
    /// The limit at the beginning.
    limit: usize,
    requests: u32,
    work: u64,
    /// The sum of the latencies.
    latency: Duration,
    /// The seconds that all requests in flight have spent in it together, until the last event.
    busy: f64,
    last_event: Duration,
    /// The most requests in flight.
    peak: usize,
}

impl Concurrency {
    /// Creates a limit that adapts, and is at most `most`.
    pub(crate) fn adaptive(most: usize) -> Self {
        let most = most.clamp(1, MAX);
        let start = START.min(most);
        let best = Measured { limit: start, rate: 0.0 };
        Self { most, ..Self::new(start, Phase::Start { best, rounds_without_gain: 0 }) }
    }

    /// Creates a limit that is always `limit`, and at least 1.
    pub(crate) fn fixed(limit: usize) -> Self {
        Self::new(limit.max(1), Phase::Fixed)
    }

    fn new(limit: usize, phase: Phase) -> Self {
        Self {
            limit,
            most: MAX,
            phase,
            round: Round::new(Duration::ZERO, limit),
            last_peak: 0,
            direction: Direction::Higher,
            step: 0,
            pause: PAUSE.0,
        }
    }

    /// Returns the number of requests that may be in flight: at least 1.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Takes an event at the time `now`, while `in_flight` requests are in flight: the one of the event is included.
    pub(crate) fn observe(&mut self, now: Duration, in_flight: usize, event: Event) {
        if matches!(self.phase, Phase::Fixed) {
            return;
        }
        let round = &mut self.round;
        let before = if matches!(event, Event::Started) { in_flight - 1 } else { in_flight };
        round.busy += now.saturating_sub(round.last_event).as_secs_f64() * before as f64;
        round.last_event = now;
        round.peak = round.peak.max(in_flight);
        match event {
            Event::Started => {}
            Event::Moved(bytes) => round.work += bytes,
            Event::Done { bytes, latency } => {
                round.requests += 1;
                round.work += LEAST_WORK.saturating_sub(bytes);
                round.latency += latency;
                // Fewer requests would not need a higher limit.
                if matches!(self.phase, Phase::Start { .. }) && self.limit < 2 * self.peak() {
                    self.limit = (self.limit + 1).min(self.most);
                }
            }
            Event::Rejected => self.retreat(now),
        }
        let elapsed = now.saturating_sub(self.round.began);
        if self.round.is_over(elapsed) {
            let round = std::mem::replace(&mut self.round, Round::new(now, self.limit));
            self.last_peak = round.peak;
            // A rate says nothing about the limit unless so many requests were in flight.
            let used_limit = round.busy >= 0.8 * round.limit as f64 * elapsed.as_secs_f64();
            if used_limit && in_flight <= self.limit {
                self.judge(now, Measured { limit: round.limit, rate: round.work as f64 / elapsed.as_secs_f64() });
                self.round.limit = self.limit;
            }
        }
    }

    /// Returns the most requests in flight of late. The number falls when many are done at once, before others start.
    fn peak(&self) -> usize {
        self.round.peak.max(self.last_peak)
    }

    fn retreat(&mut self, now: Duration) {
        let lower = match self.phase {
            Phase::Retreat => self.limit.saturating_sub(1),
            _ => self.limit.min(self.peak()).saturating_sub(2),
        };
        self.limit = lower.max(1);
        if !matches!(self.phase, Phase::Retreat) {
            self.pause = (2 * self.pause).min(PAUSE.1);
            self.direction = Direction::Higher;
            self.step = 1;
        }
        self.phase = Phase::Retreat;
        // The retreat ends with the first round without a rejection.
        self.round = Round::new(now, self.limit);
    }

    /// Decides about the limit at the end of a round.
    fn judge(&mut self, now: Duration, here: Measured) {
        match &mut self.phase {
            Phase::Fixed => {}
            Phase::Retreat => self.hold(now, self.limit),
            Phase::Start { best, rounds_without_gain } => {
                if here.rate > 1.1 * best.rate {
                    (*best, *rounds_without_gain) = (here, 0);
                    return;
                }
                *rounds_without_gain += 1;
                if *rounds_without_gain == 2 {
                    let limit = best.limit;
                    self.hold(now, limit);
                }
            }
            Phase::Hold { since, rounds, rate } => {
                *rounds += 1;
                // Requests of the old limit are done in the first round.
                *rate = if *rounds <= 2 { here.rate } else { (*rate + here.rate) / 2.0 };
                if *rounds >= 4 && now.saturating_sub(*since) >= self.pause {
                    let rate = *rate;
                    self.start_trial(Measured { rate, ..here });
                }
            }
            Phase::Trial { base, rounds } => {
                *rounds += 1;
                if *rounds < 2 {
                    return;
                }
                let base = *base;
                let change = here.limit as f64 / base.limit as f64 - 1.0;
                if here.rate >= base.rate * (1.0 + change / 10.0) {
                    self.pause = PAUSE.0;
                    self.step *= 2;
                    self.start_trial(here);
                } else {
                    self.pause = (2 * self.pause).min(PAUSE.1);
                    self.step = 0;
                    self.direction = self.direction.other();
                    self.hold(now, base.limit);
                }
            }
        }
    }

    fn hold(&mut self, now: Duration, limit: usize) {
        self.limit = limit;
        self.phase = Phase::Hold { since: now, rounds: 0, rate: 0.0 };
    }

    fn start_trial(&mut self, base: Measured) {
        if base.limit >= self.most {
            self.direction = Direction::Lower;
        } else if base.limit <= LOWEST_TRIAL {
            self.direction = Direction::Higher;
        }
        if self.step == 0 {
            self.step = (base.limit / 4).max(1);
        }
        self.limit = match self.direction {
            Direction::Higher => (base.limit + self.step.min(base.limit)).min(self.most),
            Direction::Lower => (base.limit - self.step.min(base.limit / 2)).max(LOWEST_TRIAL.min(self.most)),
        };
        self.step = base.limit.abs_diff(self.limit);
        self.phase = Phase::Trial { base, rounds: 0 };
    }
}

impl Direction {
    fn other(self) -> Self {
        match self {
            Self::Higher => Self::Lower,
            Self::Lower => Self::Higher,
        }
    }
}

impl Round {
    fn new(began: Duration, limit: usize) -> Self {
        Self { began, last_event: began, limit, ..Self::default() }
    }

    fn is_over(&self, elapsed: Duration) -> bool {
        let (shortest, longest) = ROUND;
        let enough = self.requests as usize >= self.limit.max(REQUESTS_IN_ROUND);
        elapsed >= longest || (enough && elapsed >= shortest.max(self.latency / self.requests))
    }
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
