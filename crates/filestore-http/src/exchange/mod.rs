//! One exchange: a request, its response, and the timeouts of both.
//!
//! 1. [`body_progress`] tracks how much of the request's body was sent, and when.
//! 2. [`timeout`] ends an exchange that makes no progress or takes too long in total.
//! 3. [`response_body`] reads the body of the response within the same timeouts.

pub(crate) mod body_progress;
pub(crate) mod response_body;
pub(crate) mod timeout;
