//! The clock of this machine, beside that of the service.

use filestore::Error;
use jiff::SignedDuration;

use super::Finding;
use super::access::ServiceTime;

/// The largest difference that is no problem: half of the minute in which PubNub accepts a signature. S3 accepts one for
/// 15 minutes.
const LARGEST: SignedDuration = SignedDuration::from_secs(30);

pub(super) fn check(time: Option<ServiceTime>) -> Finding {
    let Some(time) = time else {
        return Finding::Unchecked("the service has not told its time".to_owned());
    };
    let ahead = ahead(&time);
    if ahead.abs() <= LARGEST {
        return Finding::Fine(format!("at most {} s from that of the service", ahead.abs().as_secs() + 1));
    }
    let direction = if ahead.is_negative() { "behind" } else { "ahead of" };
    // Without the fraction of the second.
    let difference = SignedDuration::from_secs(ahead.abs().as_secs());
    Finding::Problem(Error::config(format!(
        "the clock of this machine is {difference:#} {direction} that of the service, which rejects signatures and \
         tokens with a wrong time; set the clock, and keep it right by NTP"
    )))
}

/// Returns how far the local clock is certainly ahead of the service's; negative if it is behind. The service told its
/// time, in whole seconds, at a moment between the request and the response.
fn ahead(time: &ServiceTime) -> SignedDuration {
    let least = time.sent.duration_since(time.date) - SignedDuration::from_secs(1);
    let most = time.received.duration_since(time.date);
    if least.is_positive() {
        least
    } else if most.is_negative() {
        most
    } else {
        SignedDuration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The local times are seconds after the service's date.
    fn found(sent: i64, received: i64) -> String {
        let date = "2026-03-01T10:00:00Z".parse().unwrap();
        let after = |seconds| date + SignedDuration::from_secs(seconds);
        let finding = check(Some(ServiceTime { date, sent: after(sent), received: after(received) }));
        format!("{}: {}", finding.result(), finding.detail())
    }

    #[test]
    fn a_difference_above_30_s_is_a_problem_and_a_slow_response_is_none() {
        for (sent, received, expected) in [
            (0, 1, "ok: at most 1 s"),
            (31, 32, "ok: at most 31 s"),
            (32, 33, "FOUND: the clock of this machine is 31s ahead of"),
            (601, 602, "FOUND: the clock of this machine is 10m ahead of"),
            (-32, -31, "FOUND: the clock of this machine is 31s behind that"),
            (-31, -30, "ok: at most 31 s"),
            (-300, 300, "ok: at most 1 s"),
        ] {
            assert!(found(sent, received).starts_with(expected), "{sent} {received}: {}", found(sent, received));
        }
        assert!(matches!(check(None), Finding::Unchecked(_)));
    }
}
