use std::iter::{repeat, repeat_n};

use super::simulation::{Link, Run, run};
use super::*;

/// The sizes of the files: many small ones, some, few large ones.
const SIZES: [u64; 3] = [4 << 10, 1 << 20, 32 << 20];

/// Every link of the matrix: its bandwidth, its delay, and the rate of one connection.
fn links() -> Vec<Link> {
    let mut links = Vec::new();
    for bandwidth in [1e6, 10e6, 100e6] {
        for delay in [0.005, 0.04, 0.2] {
            for connection in [f64::INFINITY, 10e6] {
                links.push(Link { connection, ..Link::new(bandwidth, delay) });
            }
        }
    }
    links
}

/// Returns the bytes of a run in two spans, divided by those of the best of the fixed limits: in the first 20 seconds,
/// which include the start, and in the 10 seconds after.
fn ratios(link: &Link, size: u64, run_of_adaptive: &Run, fixed: &[usize]) -> [f64; 2] {
    let spans = [0.0..20.0, 20.0..30.0];
    let mut best = [0.0; 2];
    for limit in fixed {
        let run = run(link, repeat(size), Concurrency::fixed(*limit), 30.0);
        for (best, span) in best.iter_mut().zip(spans.clone()) {
            *best = run.bytes(span).max(*best);
        }
    }
    [0, 1].map(|at| run_of_adaptive.bytes(spans[at].clone()) / best[at])
}

fn assert_near_the_best_fixed_limit(size: u64) {
    let mut worst = f64::INFINITY;
    for link in links() {
        let adaptive = run(&link, repeat(size), Concurrency::adaptive(MAX), 30.0);
        for ratio in ratios(&link, size, &adaptive, &[1, 2, 4, 8, 16, 32, 64, 128, 256]) {
            assert!(ratio >= 0.85, "{ratio:.3} of the best fixed limit with files of {size} bytes on {link:?}");
            worst = worst.min(ratio);
        }
    }
    println!("files of {size} bytes: at least {worst:.3} of the best fixed limit");
}

#[test]
fn small_files_move_nearly_as_fast_as_with_the_best_fixed_limit() {
    assert_near_the_best_fixed_limit(SIZES[0]);
}

#[test]
fn files_of_a_megabyte_move_nearly_as_fast_as_with_the_best_fixed_limit() {
    assert_near_the_best_fixed_limit(SIZES[1]);
}

#[test]
fn large_files_move_nearly_as_fast_as_with_the_best_fixed_limit() {
    assert_near_the_best_fixed_limit(SIZES[2]);
}

#[test]
fn a_service_that_accepts_16_requests_gets_fewer_within_2_seconds_and_stays_busy() {
    let mut worst = f64::INFINITY;
    for size in SIZES {
        for link in links() {
            let link = Link { accepts: 16, ..link };
            let adaptive = run(&link, repeat(size), Concurrency::adaptive(MAX), 30.0);
            let seconds = adaptive.below.unwrap() - adaptive.first_rejection.unwrap();
            assert!(seconds < 2.0, "{seconds} s with files of {size} bytes on {link:?}");
            for ratio in ratios(&link, size, &adaptive, &[16]) {
                assert!(ratio >= 0.85, "{ratio:.3} of the limit 16 with files of {size} bytes on {link:?}");
                worst = worst.min(ratio);
            }
            // The transfers try a file at most five times.
            assert!(adaptive.most_tries <= 3, "{} tries with files of {size} bytes on {link:?}", adaptive.most_tries);
        }
    }
    println!("a service that accepts 16 requests: at least {worst:.3} of the limit 16");
}

#[test]
fn a_burst_of_small_files_does_not_wait_for_a_slow_start() {
    let link = Link::new(100e6, 0.04);
    let seconds = |concurrency| run(&link, repeat_n(4096, 2000), concurrency, 60.0).end;
    let ratio = seconds(Concurrency::adaptive(MAX)) / seconds(Concurrency::fixed(256));
    assert!(ratio < 1.25, "{ratio:.3}");
}

#[test]
fn rejections_that_the_http_client_hides_lower_the_limit_because_the_rate_falls() {
    let link = Link { accepts: 16, client_retries: true, ..Link::new(100e6, 0.04) };
    let adaptive = run(&link, repeat(4096), Concurrency::adaptive(MAX), 60.0);
    let fixed = run(&link, repeat(4096), Concurrency::fixed(16), 60.0);
    let ratio = adaptive.bytes(20.0..60.0) / fixed.bytes(20.0..60.0);
    assert!(ratio > 0.75, "{ratio:.3}");
}

#[test]
fn a_service_that_more_requests_slow_down_gets_fewer() {
    let link = Link { slower_above: 32, ..Link::new(10e6, 0.04) };
    let size = 64 << 10;
    let adaptive = run(&link, repeat(size), Concurrency::adaptive(MAX), 60.0);
    let fixed = run(&link, repeat(size), Concurrency::fixed(256), 60.0);
    let ratio = adaptive.bytes(20.0..60.0) / fixed.bytes(20.0..60.0);
    assert!(ratio > 3.0, "{ratio:.3}");
}

#[test]
fn after_an_outage_the_limit_rises_again() {
    let link = Link { outage: 5.0..10.0, ..Link::new(100e6, 0.04) };
    let adaptive = run(&link, repeat(4096), Concurrency::adaptive(MAX), 40.0);
    assert_eq!((adaptive.limit(10.0), adaptive.limit(30.0)), (1, 256));
}

#[test]
fn a_fixed_limit_stays() {
    let link = Link { accepts: 16, ..Link::new(100e6, 0.04) };
    let fixed = run(&link, repeat(4096), Concurrency::fixed(20), 10.0);
    assert!(fixed.first_rejection.is_some());
    assert!(fixed.ticks.iter().all(|(_, limit)| *limit == 20));
    assert_eq!(Concurrency::fixed(0).limit(), 1);
}

#[test]
fn a_limit_that_few_requests_use_stays() {
    let mut concurrency = Concurrency::adaptive(MAX);
    for round_trip in 0..1000 {
        let now = Duration::from_millis(40 * round_trip);
        (1..=10).for_each(|in_flight| concurrency.observe(now, in_flight, Event::Started));
        let latency = Duration::from_millis(39);
        let done = |in_flight| concurrency.observe(now + latency, in_flight, Event::Done { bytes: 4096, latency });
        (1..=10).rev().for_each(done);
    }
    assert_eq!(concurrency.limit(), START);
}
